"""Authorising a request: the part that all web adapters share.

Invariants:

- A proof is spent once. After the first check of a request, further checks for the same API (a middleware, then a
  decorator) use its result. They check only the scopes and other requirements that they add.
- The method and the target are checked as they were sent, before a framework decodes them.
- If several base URLs have one host, the path at which the application is mounted selects one. A proof for
  another of them is refused (RFC 9449 §4.3 (9)).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async.adapters._hosts import NamedHosts
from passwordless_async.dpop.server.verifier import DPoPVerifier
from passwordless_async.errors import UsageError
from passwordless_async.resource_server.guard import Authorized, Guard, presented_by
from passwordless_async.resource_server.requirements import NOTHING, Required, Requirements
from passwordless_async.resource_server.server import ResourceServer, parts_of

if TYPE_CHECKING:
    from passwordless_async.auth0.tenant import DPoPMode
    from passwordless_async.dpop.server.fields import Headers
    from passwordless_async.resource_server.guard import Validator

TokenInfo = Callable[[str], Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None]
"""Validates an access token: returns its claims, ``cnf`` included, or None if it is not valid. Sync or async."""

PASSED = "passwordless_async.passed"
"""The key under which a request keeps the result of its first check: a :class:`Passed`."""


@attrs.frozen(eq=False)
class Passed:
    """The result of the first check of a request."""

    api: object  # the resource server or verifier that made it
    authorized: Authorized


@attrs.frozen(eq=False)
class Entrance:
    """One of an API's names: its base URL, the path of that URL, and its guard."""

    base_url: str
    base_path: str
    guard: Guard


@attrs.frozen(eq=False)
class Authorizer:
    """Checks the access token of a request, its proof, and what the request requires.

    Attributes:
        api: The resource server, or the verifier.
    """

    api: object
    _hosts: NamedHosts[tuple[Entrance, ...]]
    _siblings: tuple[tuple[Entrance, ...], ...]  # of each host that has several base URLs
    _validate: Validator
    _required: Required = NOTHING

    @classmethod
    def of_server(cls, server: ResourceServer, *, trusted_proxies: int, requirements: Requirements) -> Authorizer:
        """Return an authorizer that uses a resource server; an invalid argument raises :class:`UsageError`."""
        parts = parts_of(server)
        return cls._made(server, parts.guards, trusted_proxies, parts.validate, Required.of(requirements))

    @classmethod
    def of_verifier(
        cls, verifier: DPoPVerifier, token_info: TokenInfo | None, *, allow_bearer: bool, trusted_proxies: int
    ) -> Authorizer:
        """Return an authorizer that uses a verifier, and an application's own check of tokens."""
        if token_info is None:
            raise UsageError("token_info", "is needed with a verifier")
        mode: DPoPMode = "preferred" if _check.boolean("allow_bearer", allow_bearer) else "required"
        guards = {base: Guard.of(mode, verifier, realm=base) for base in verifier.base_urls}
        return cls._made(verifier, guards, trusted_proxies, token_info)

    @classmethod
    def _made(
        cls,
        api: object,
        guards: Mapping[str, Guard],
        trusted_proxies: int,
        validate: Validator,
        required: Required = NOTHING,
    ) -> Authorizer:
        entrances = _entrances(guards)
        siblings = tuple(group for group in entrances.values() if len(group) > 1)
        return cls(api, NamedHosts(entrances, trusted_proxies=trusted_proxies), siblings, validate, required)

    def requiring(self, scopes: tuple[str, ...]) -> Authorizer:
        """Return the same with these scopes."""
        return attrs.evolve(self, required=attrs.evolve(self._required, scopes=scopes))

    async def admit(
        self, passed: object, method: str, target: Callable[[str], str], headers: Headers, root_path: str = ""
    ) -> tuple[Authorized, bool]:
        """Check a request, once for each API.

        Args:
            passed: The result of an earlier check of the request, if there was one.
            method: Its method, in the original case.
            target: Returns its path and query as they came, not decoded, by the path of the base URL that it came to.
            headers: Its header fields.
            root_path: Where the application is mounted.

        Returns:
            The result, and whether an earlier check made it: the earlier one then adds the header fields.

        Raises:
            OAuthError: The request is refused, see :meth:`Guard.authorize`.
        """
        entrance = self._entrance(headers, root_path)
        if isinstance(passed, Passed) and passed.api is self.api:
            entrance.guard.require(passed.authorized, self._required)
            return passed.authorized, True
        presented, headers = presented_by(headers), ()
        path = target(entrance.base_path)
        guard = entrance.guard.without(self._elsewhere(root_path)) if root_path and self._siblings else entrance.guard
        return await guard.authorize(method, path, presented, self._validate, self._required), False

    def _entrance(self, headers: Headers, root_path: str) -> Entrance:
        """Return the name under which a request reached the API; if names share a host, by the application's mount."""
        entrances = self._hosts.choose(headers)
        if len(entrances) == 1 or not root_path:
            return entrances[0]
        return max(entrances, key=lambda entrance: _fit(entrance, root_path))

    def _elsewhere(self, root_path: str) -> list[str]:
        """Return the base URLs that are excluded, because another one of the same host fits the mount better."""
        elsewhere: list[str] = []
        for siblings in self._siblings:
            best = max(_fit(entrance, root_path) for entrance in siblings)
            elsewhere += (entrance.base_url for entrance in siblings if _fit(entrance, root_path) < best)
        return elsewhere


def overlap(base_path: str, root_path: str) -> str:
    """Return the longest end of a base URL's path that a root path begins with; empty if there is none."""
    # By the base URL's slashes, not by the root path's: a client may choose how long that is.
    begin = base_path.find("/")
    while begin >= 0:
        end = base_path[begin:]
        if root_path == end or root_path.startswith(f"{end}/"):
            return end
        begin = base_path.find("/", begin + 1)
    return ""


def _fit(entrance: Entrance, root_path: str) -> int:
    return len(overlap(entrance.base_path, root_path))


def _entrances(guards: Mapping[str, Guard]) -> dict[str, tuple[Entrance, ...]]:
    """Return the names of an API, by origin."""
    entrances: dict[str, tuple[Entrance, ...]] = {}
    for base, guard in guards.items():
        origin, path = "/".join(base.split("/")[:3]), "/".join(["", *base.split("/")[3:]])
        entrances[origin] = (*entrances.get(origin, ()), Entrance(base, path, guard))
    return entrances


def of_either(api: object, token_info: TokenInfo | None, *, allow_bearer: bool, trusted_proxies: int) -> Authorizer:
    """Return an authorizer that uses a resource server, or a verifier and an application's own check of tokens."""
    if isinstance(api, DPoPVerifier):
        return Authorizer.of_verifier(api, token_info, allow_bearer=allow_bearer, trusted_proxies=trusted_proxies)
    if not isinstance(api, ResourceServer):
        raise UsageError("server", "must be a ResourceServer, or a DPoPVerifier with token_info")
    if token_info is not None or _check.boolean("allow_bearer", allow_bearer):
        raise UsageError("server", "checks tokens itself: token_info and allow_bearer need a verifier")
    return Authorizer.of_server(api, trusted_proxies=trusted_proxies, requirements={})
