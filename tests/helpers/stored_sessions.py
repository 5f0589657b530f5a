"""A store with users' sessions, as the application has it, and the command line's options for it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async import DPoPKey, InvalidSession, KeyRing, PasswordlessClient, TokenSet
from passwordless_async._common.secret import Secret
from passwordless_async.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


TENANT, CLIENT, ADA, BOB = "acme.eu.auth0.com", "app", "email|ada", "email|bob"
APPLICATION = ("--domain", TENANT, "--client-id", CLIENT)


PASSWORD = "hunter2-the-password"


def ring_of(file: Path) -> KeyRing:
    return KeyRing.from_json(file.read_text())


def secrets_of(file: Path) -> list[str]:
    members = json.loads(file.read_text())
    return [*members["keys"], members["users"]]


@attrs.frozen
class Store:
    """A store as the application has it, and an operator's options for it."""

    server: Any
    keys: Path

    @property
    def url(self) -> str:
        return str(self.server.url).replace("//", f"//operator:{PASSWORD}@")

    def arguments(self, command: str, user: str = ADA, *more: str, url: str = "") -> list[str]:
        named = ["--store", url or self.url, "--keys", str(self.keys), *APPLICATION]
        return ["sessions", command, *named, *more, user]

    def open(self, *users: str, prefix: str = "pa") -> list[str]:
        """Open a session for each user; return the identifiers."""

        async def opened(sessions: Any) -> list[str]:
            return [str(await sessions.open(tokens(), user=user)) for user in users]

        identifiers: list[str] = self._ask(opened, prefix=prefix)
        return identifiers

    def is_open(self, identifier: str, *, ring: KeyRing | None = None) -> bool:
        async def read(sessions: Any) -> bool:
            try:
                return bool(await sessions.get(identifier))
            except InvalidSession:
                return False

        return bool(self._ask(read, ring=ring))

    def names(self, user: str) -> list[str]:
        return [info.name for info in self._ask(lambda sessions: sessions.list(user))]

    def _ask(self, question: Callable[[Any], Any], *, prefix: str = "pa", ring: KeyRing | None = None) -> Any:
        async def asked() -> Any:
            async with (
                RedisStore(self.url, keys=ring or ring_of(self.keys), prefix=prefix) as store,
                PasswordlessClient(TENANT, CLIENT, store=store) as client,
            ):
                return await question(client.sessions)

        return asyncio.run(asked())


def tokens() -> TokenSet:
    access, refresh = Secret("the-access-token"), Secret("the-refresh-token")
    return TokenSet(access, "DPoP", None, "", refresh, None, None, DPoPKey.generate())


Shown = tuple[int, str, str]
