"""Logs users in, in bulk: each message of a queue is a user and a code. Killed and started again, it goes on."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sqlite3
from contextlib import aclosing, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from passwordless_async import BULK, CodeSpent, Email, KeyRing, Login, OutcomeUnknown, PasswordlessClient, Start

if TYPE_CHECKING:
    from collections.abc import Iterator

    from passwordless_async import Orphan, PasswordlessError, TokenSet

GRACE = 20.0  # seconds that logins which were read are given to end, when this process is asked to end


class Journal:
    """What became of each message. It is written before a code is sent, so that no crash can make it wrong."""

    def __init__(self, path: str, keys: KeyRing) -> None:
        self._keys = keys
        self._db = sqlite3.connect(path, isolation_level=None)  # each statement is on the disk when it returns
        self._db.execute("CREATE TABLE IF NOT EXISTS logins (message PRIMARY KEY, address, state, tokens)")

    def close(self) -> None:
        """Close the file; all that was written is there."""
        self._db.close()

    def begin(self, message: str, address: str) -> bool:
        """Write that a code is about to be sent; False: it was written before, by this run or an earlier one."""
        added = self._db.execute("INSERT OR IGNORE INTO logins VALUES (?, ?, 'sent', NULL)", (message, address))
        return added.rowcount == 1

    def end(self, message: str, tokens: TokenSet | None, error: PasswordlessError | None) -> None:
        """Write how a login ended."""
        if tokens is not None:
            self._write(message, "done", tokens.seal(self._keys))
        elif isinstance(error, OutcomeUnknown | CodeSpent):
            pass  # it stays "sent": the code may be spent
        elif error is not None and error.retryable:
            self._db.execute("DELETE FROM logins WHERE message = ?", (message,))  # its code is good: deliver it again
        elif error is not None:
            self._write(message, error.code)
        print(message, "done" if error is None else f"{error.code}: {error.advice}", flush=True)

    def in_doubt(self) -> list[tuple[str, str]]:
        """Return the messages whose code may be spent, with their addresses."""
        return self._db.execute("SELECT message, address FROM logins WHERE state = 'sent'").fetchall()

    def renewed(self, message: str) -> None:
        """Write that the user was sent a new code, which comes as another message."""
        self._write(message, "renewed")
        print(message, "in doubt: the user was sent a new code", flush=True)

    def _write(self, message: str, state: str, tokens: str | None = None) -> None:
        self._db.execute("UPDATE logins SET state = ?, tokens = ? WHERE message = ?", (state, tokens, message))


def logins(queue: Path, journal: Journal, stopping: asyncio.Event) -> Iterator[Login]:
    """Yield the codes that no run has sent before; put your own queue here, which may deliver a message twice."""
    with queue.open(encoding="utf-8") as lines:
        for message, address, code in map(str.split, lines):
            if stopping.is_set():
                return
            if journal.begin(message, address):
                yield Login(Email(address), code, scope="openid email offline_access", tag=message)


async def renew(client: PasswordlessClient, journal: Journal) -> None:
    """Ask for a new code for each user whose code may be spent: sent again, it would be refused or count as wrong."""
    starts = [Start(Email(address), tag=message) for message, address in journal.in_doubt()]
    async for outcome in client.start_many(starts):
        if outcome.error is None:
            journal.renewed(outcome.start.tag)
        else:
            print(outcome.start.tag, f"{outcome.error.code}: {outcome.error.advice}", flush=True)


async def work(queue: Path, journal: Journal, stopping: asyncio.Event) -> None:
    """Log in the users of the queue, until it is empty, or ``stopping`` is set and what was read has its end."""

    def on_orphan(orphan: Orphan) -> None:  # a login that was on the wire when GRACE was over
        if orphan.tag is not None:
            journal.end(orphan.tag, orphan.tokens, orphan.error)

    async with PasswordlessClient(
        os.environ["AUTH0_DOMAIN"], os.environ["CLIENT_ID"], profile=BULK, on_orphan=on_orphan
    ) as client:
        await renew(client, journal)
        async with aclosing(client.exchange_many(logins(queue, journal, stopping), concurrency=32)) as outcomes:
            async for outcome in outcomes:
                journal.end(outcome.login.tag, outcome.tokens, outcome.error)
        if not stopping.is_set():
            await renew(client, journal)


async def main(queue: Path, journal: Journal) -> None:
    """Work until the queue is empty, or this process is asked to end."""
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    working = asyncio.ensure_future(work(queue, journal, stopping))

    def stop() -> None:
        stopping.set()
        loop.call_later(GRACE, working.cancel)

    loop.add_signal_handler(signal.SIGTERM, stop)
    with suppress(asyncio.CancelledError):
        await working


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("queue", type=Path, help="a file; each line is a message: its identifier, an address, a code")
    arguments = parser.parse_args()
    missing = [name for name in ("AUTH0_DOMAIN", "CLIENT_ID", "JOURNAL", "KEYS") if name not in os.environ]
    if missing:
        parser.error(f"set {', '.join(missing)} in the environment")
    for file in (arguments.queue, Path(os.environ["KEYS"])):
        if not file.is_file():
            parser.error(f"{file} is no file")
    keys = KeyRing.from_json(Path(os.environ["KEYS"]).read_text(encoding="ascii"))
    with closing(Journal(os.environ["JOURNAL"], keys)) as opened:
        asyncio.run(main(arguments.queue, opened))
