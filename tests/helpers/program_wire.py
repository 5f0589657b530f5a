"""What the client of a program sends: how much at once, and with which nonce, beside what it knew by then."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter, defaultdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async import PasswordlessClient

TOKEN = "/oauth/token"
HELD_SECONDS = 0.03  # for which an answer is held back at most


class Wire:
    """Watches the token requests of a client that have a proof.

    Attributes:
        at_once: The most codes of one user that were on the wire at once.
        most_in_flight: The most token requests that were on the wire at once.
        challenges: How many answers demanded another nonce.
        holds: How many of the next answers are held back until that of a later request is there.
        stale: The nonces of proofs that were sent although the client had a newer one.
    """

    def __init__(self, client: PasswordlessClient, was_sent: Callable[[str], None]) -> None:
        self.at_once = 0
        self.most_in_flight = 0
        self.challenges = 0
        self.holds = 0
        self.stale: list[str | None] = []
        self._was_sent = was_sent  # called with the code or refresh token of each request
        self._in_flight = 0
        self._of_user: Counter[str] = Counter()
        self._sent = 0
        self._newest: tuple[int, str | None] = 0, None  # the number of the request that brought it, and the nonce
        self._nonces: set[str] = set()
        self._answered: asyncio.Future[None] | None = None  # done with the next answer; None: none is held back
        self._offered: defaultdict[str, set[str | None]] = defaultdict(set)  # to each key, by challenges
        self._transmit = client._transport.send
        client._transport.send = self._send  # type: ignore[method-assign, assignment]

    @property
    def rotations(self) -> int:
        """How often the tenant has replaced its nonce."""
        return max(len(self._nonces) - 1, 0)

    async def _send(self, request: Any, *more: Any) -> Any:
        if request.url.path != TOKEN or "DPoP" not in request.headers:
            return await self._transmit(request, *more)
        form = dict(parse_qsl(request.body.decode()))
        user = form.get("username", "") if "otp" in form else ""
        self._sent += 1
        number = self._sent
        key, nonce = _proof(request.headers["DPoP"])
        if nonce != self._newest[1] and nonce not in self._offered[key]:
            self.stale.append(nonce)
        self._in_flight += 1
        self._of_user[user] += user != ""
        self.at_once = max(self.at_once, self._of_user[user])
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        self._was_sent(form.get("otp") or form.get("refresh_token", ""))
        try:
            response = await self._transmit(request, *more)
            if self.holds and self._answered is None:
                self.holds -= 1
                await self._hold()
        finally:
            self._in_flight -= 1
            self._of_user[user] -= user != ""
        self._learn(response, number, key)
        return response

    async def _hold(self) -> None:
        self._answered = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([self._answered], timeout=HELD_SECONDS)
        finally:
            self._answered = None

    def _learn(self, response: Any, number: int, key: str) -> None:
        nonce = response.headers.get("DPoP-Nonce")
        is_challenge = response.status == HTTPStatus.BAD_REQUEST and b"use_dpop_nonce" in response.body
        self.challenges += is_challenge
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        if nonce is None or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        self._nonces.add(nonce)
        if is_challenge:
            self._offered[key].add(nonce)
        if number > self._newest[0]:
            self._newest = number, nonce


def _proof(proof: str) -> tuple[str, str | None]:
    """Return the key of a proof and its nonce."""
    header, payload, _ = (base64.urlsafe_b64decode(part + "==") for part in proof.split("."))
    return json.loads(header)["jwk"]["x"], json.loads(payload).get("nonce")
