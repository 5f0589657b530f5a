"""The keys of all values on a server.

Each key begins with the store's prefix, by default ``pa``. A cluster places a key by the text in braces: all keys that
one script uses have the same, so they are on one node. ``shard`` is the first 8 characters of the pseudonym.

=======================================  ======  ========================================  ============================
key                                      type    value                                     lifetime
=======================================  ======  ========================================  ============================
``pa:{shard}:session:SESSION``           string  the sealed session                        idle time; each use renews it
``pa:{shard}:sessions:USER``             hash    SESSION: the LOGIN it was opened with     absolute and idle time
``pa:{shard}:login:LOGIN``               hash    ``spends``: refresh token that may be     what the session has left,
                                                 spent, ``holder``: token of the process,  and an idle time; ``newest``
                                                 ``since``: server time in ms,             a minute if the login has one
                                                 ``doubtful``; ``refused``: refresh        session
                                                 token; ``newest``: refresh token,
                                                 ``tokens``: the sealed tokens
``pa:{shard}:login:LOGIN:lock``          string  token of the process that refreshes       20 s, renewed meanwhile
``pa:ping``                              string  empty                                     1 s
``pa:{shard}:cooldown:USER``             string  token of the start, with a space after    a minute, renewed while the
                                                 it once the start has ended               start lasts; the cool-down
``pa:{shard}:code:USER``                 hash    CODE: number of the attempt, space, its   1 hour
                                                 token, empty once it was refused;
                                                 ``last``: the last number;
                                                 ``right``: the CODE that was;
                                                 ``started``: 1
``pa:{shard}:starts:ADDRESS``            zset    tokens of starts, by server time in ms    1 hour
``pa:{shard}:blocked:ADDRESS``           string  empty                                     as long as the service said
``pa:{shard}:quota:QUOTA``               string  server time in µs of the next place       until then, and 1 s
``pa:{shard}:nonce:ORIGIN``              string  the newest nonce, or empty                10 minutes
``pa:{shard}:turn:ORIGIN``               string  token of the caller that fetches it       3 s
``pa:{shard}:replay:JKT``                zset    PROOFs that were used, by the server      until the last expires
                                                 time in ms until which they are kept
``pa:{shard}:count:KIND:NAME``           string  number in the window, space, token of     the window
                                                 the first, which names the window
``pa:{shard}:counted:TOKEN``             string  the windows that it was counted in        as long as it can be undone
=======================================  ======  ========================================  ============================

USER, CODE, ADDRESS, QUOTA and ORIGIN are pseudonyms (HMAC-SHA-256), SESSION, LOGIN, JKT and PROOF are SHA-256 hashes.
NAME is a pseudonym, or a text that reveals nothing; its shard is the group's.
The scripts in ``sessions`` use the first five keys, those in ``codes`` the next four, ``servers`` the quota and the
nonces, ``replay`` the used proofs, ``counters`` the last two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from passwordless_async.stores.keyring import KeyRing

if TYPE_CHECKING:
    from passwordless_async.stores.protocols import Place


@attrs.frozen
class Keys:
    """The keys of one store."""

    prefix: str

    def session(self, place: Place) -> str:
        """Return the key of a session."""
        return self._of(place.shard, "session", place.session)

    def login(self, place: Place, login: str) -> str:
        """Return the key of what the sessions of one login share."""
        return self._of(place.shard, "login", login)

    def lock(self, place: Place, login: str) -> str:
        """Return the key that says that a login is being refreshed."""
        return f"{self.login(place, login)}:lock"

    @property
    def ping(self) -> str:
        """Return the key that is written to learn whether the server keeps anything."""
        return f"{self.prefix}:ping"

    def sessions(self, shard: str, user: str) -> str:
        """Return the key of a user's list of sessions."""
        return self._of(shard, "sessions", user)

    def counter(self, group: str, kind: str, name: str) -> str:
        """Return the key of a counter of a group."""
        return self._of(KeyRing.shard(group), f"count:{kind}", name)

    def counted(self, group: str, token: str) -> str:
        """Return the key that says which windows of a group a token was counted in."""
        return self._of(KeyRing.shard(group), "counted", token)

    def named(self, kind: str, pseudonym: str) -> str:
        """Return a key of another kind, one of the table's."""
        return self._of(KeyRing.shard(pseudonym), kind, pseudonym)

    def _of(self, shard: str, kind: str, name: str) -> str:
        return f"{self.prefix}:{{{shard}}}:{kind}:{name}"
