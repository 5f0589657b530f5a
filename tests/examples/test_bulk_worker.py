"""The bulk worker of the examples: killed in the middle or asked to end, it goes on where it was."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from helpers.clients import TOKEN, arrived, until
from helpers.examples import EXAMPLES, load
from passwordless_async import (
    TESTING,
    CodeExpired,
    CodeSpent,
    Email,
    KeyRing,
    NotSent,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    TokenSet,
)
from passwordless_async.cli.app import app as program
from passwordless_async.testing import Fault, LocalTenant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WORKER = EXAMPLES / "bulk-worker" / "worker.py"
USERS = [Email(f"user{number}@example.com") for number in range(12)]


@attrs.define
class Batch:
    """A tenant, the users' codes in a queue, and the worker's files."""

    tenant: LocalTenant
    folder: Path
    messages: int = 0

    @property
    def environment(self) -> dict[str, str]:
        files = {"JOURNAL": str(self.folder / "journal.db"), "KEYS": str(self.folder / "keys.json")}
        client = {"AUTH0_DOMAIN": self.tenant.url, "CLIENT_ID": self.tenant.public_client_id}
        return {**os.environ, **files, **client}

    def deliver(self, users: list[Email]) -> None:
        """Put the newest code of each of these users at the end of the queue."""
        with (self.folder / "queue").open("a") as queue:
            for user in users:
                queue.write(f"message-{self.messages} {user.address} {self.tenant.outbox.code_for(user)}\n")
                self.messages += 1

    async def start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", str(WORKER), str(self.folder / "queue"), env=self.environment,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def run(self) -> list[str]:
        """Run the worker to its end; return what it printed."""
        worker = await self.start()
        out, err = await worker.communicate()
        assert (worker.returncode, err.decode()) == (0, "")
        return sorted(out.decode().splitlines())

    async def run_until_in_flight(self, done: int) -> tuple[asyncio.subprocess.Process, asyncio.Event]:
        """Start the worker; so many logins are done, and the tenant has checked the codes of all others."""
        answer = asyncio.Event()
        self.tenant.faults.add(Fault.SLOW, path=TOKEN, after=done + 1, until=answer)  # the first is a challenge
        worker = await self.start()
        assert worker.stdout is not None
        for _ in range(done):
            assert (await worker.stdout.readline()).endswith(b" done\n")
        await until(lambda: arrived(self.tenant, TOKEN) == len(USERS) + 1)
        await until(lambda: self.tenant.stats.codes_presented == len(USERS))
        return worker, answer

    def kept(self) -> dict[str, TokenSet]:
        """Return the tokens in the journal by address."""
        keys = KeyRing.from_json((self.folder / "keys.json").read_text())
        with closing(sqlite3.connect(self.folder / "journal.db")) as journal:
            rows = journal.execute("SELECT address, tokens FROM logins WHERE state = 'done'").fetchall()
        return {address: TokenSet.unseal(tokens, keys) for address, tokens in rows}

    def states(self) -> list[str]:
        """Return the states of all messages that the journal knows."""
        with closing(sqlite3.connect(self.folder / "journal.db")) as journal:
            return [state for (state,) in journal.execute("SELECT state FROM logins")]


@pytest.fixture
async def batch(tmp_path: Path) -> AsyncIterator[Batch]:
    """Send a code to each user, and put them into the queue."""
    program(["sessions", "keys", str(tmp_path / "keys.json")], standalone_mode=False)
    async with LocalTenant() as tenant:
        async with PasswordlessClient(tenant.url, tenant.public_client_id, profile=TESTING) as client:
            for user in USERS:
                await client.start(user)
        made = Batch(tenant, tmp_path)
        made.deliver(USERS)
        yield made
        assert tenant.stats.presented_again == 0


@pytest.mark.slow
async def test_a_killed_worker_goes_on(batch: Batch) -> None:
    """Codes that may be spent are not sent again: their users get new ones, and in the end each is logged in once."""
    worker, answer = await batch.run_until_in_flight(done=5)
    worker.kill()
    await worker.wait()
    answer.set()
    batch.tenant.faults.clear()

    printed = await batch.run()
    assert [line.partition(" ")[2] for line in printed] == ["in doubt: the user was sent a new code"] * 7
    assert batch.tenant.stats.codes_presented == len(USERS)

    batch.deliver([user for user in USERS if user.address not in batch.kept()])
    assert [line.partition(" ")[2] for line in await batch.run()] == ["done"] * 7
    assert {user.address for user in USERS} == batch.kept().keys()
    assert await batch.run() == []


@pytest.mark.slow
async def test_a_worker_that_is_asked_to_end_loses_no_login(batch: Batch) -> None:
    """It finishes what is on the wire and keeps the tokens: no user needs a new code."""
    worker, answer = await batch.run_until_in_flight(done=5)
    worker.send_signal(signal.SIGTERM)
    answer.set()
    _, err = await worker.communicate()
    assert (worker.returncode, err.decode()) == (0, "")
    assert {user.address for user in USERS} == batch.kept().keys()
    assert await batch.run() == []


@pytest.mark.slow
async def test_a_worker_that_is_asked_to_end_before_any_code_was_sent_leaves_none_in_doubt(batch: Batch) -> None:
    """It ends the logins that it has read, although one request of them all is on the wire."""
    answer = asyncio.Event()
    batch.tenant.faults.add(Fault.SLOW, path=TOKEN, until=answer)
    worker = await batch.start()
    await until(lambda: arrived(batch.tenant, TOKEN) == 1)
    worker.send_signal(signal.SIGTERM)
    batch.tenant.faults.clear()
    answer.set()
    _, err = await worker.communicate()
    assert (worker.returncode, err.decode()) == (0, "")
    assert batch.states() == ["done"] * len(USERS)
    assert {user.address for user in USERS} == batch.kept().keys()


@pytest.mark.parametrize(
    ("arguments", "unset", "expected"),
    [
        ([], (), "error: the following arguments are required: queue"),
        (["no-such-queue"], (), "error: no-such-queue is no file"),
        (["queue"], ("AUTH0_DOMAIN", "KEYS"), "error: set AUTH0_DOMAIN, KEYS in the environment"),
    ],
    ids=["no argument", "no file", "no settings"],
)
async def test_wrong_usage_is_one_sentence(
    tmp_path: Path, arguments: list[str], unset: tuple[str, ...], expected: str
) -> None:
    """No traceback, and status 2."""
    names = {name: "there" for name in ("AUTH0_DOMAIN", "CLIENT_ID", "JOURNAL", "KEYS") if name not in unset}
    worker = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), *arguments, cwd=tmp_path, env={**os.environ, **names},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await worker.communicate()
    assert (worker.returncode, out.decode(), err.decode().splitlines()[-1]) == (2, "", f"worker.py: {expected}")


@pytest.mark.slow
async def test_each_message_has_its_own_end(batch: Batch) -> None:
    """A wrong code is one message, and the right one of the same user another."""
    first, *_ = (batch.folder / "queue").read_text().splitlines()
    (batch.folder / "queue").write_text(f"message-0 {USERS[0].address} 000000\n{first.replace('-0', '-99')}\n")
    printed = await batch.run()
    assert [line.split(":")[0] for line in printed] == ["message-0 wrong_code", "message-99 done"]
    assert batch.kept()[USERS[0].address].bound


def journal_in(folder: Path, worker: Any) -> closing[Any]:
    return closing(worker.Journal(str(folder / "journal.db"), KeyRing(bytes(32), users=bytes(32))))


def test_a_worker_that_is_asked_to_end_reads_no_more_messages(tmp_path: Path) -> None:
    """What it has not read is not in the journal, and is delivered to the next run."""
    (tmp_path / "queue").write_text("".join(f"{number} ada@example.com 123456\n" for number in range(3)))
    worker, stopping = load("bulk-worker", "worker"), asyncio.Event()
    with journal_in(tmp_path, worker) as journal:
        reading = worker.logins(tmp_path / "queue", journal, stopping)
        assert next(reading).tag == "0"
        stopping.set()
        assert list(reading) == []
        assert journal.in_doubt() == [("0", "ada@example.com")]


def test_what_the_journal_says_of_a_failure(tmp_path: Path) -> None:
    """A code that was not sent may be delivered again, one that may be spent is in doubt, and all others are over."""
    errors: list[PasswordlessError] = [NotSent("refused"), OutcomeUnknown("silence"), CodeSpent("was sent before")]
    errors.append(CodeExpired(status=403, error="invalid_grant"))
    with journal_in(tmp_path, load("bulk-worker", "worker")) as journal:
        for number, error in enumerate(errors):
            assert journal.begin(str(number), "ada@example.com")
            journal.end(str(number), None, error)
        assert [journal.begin(str(number), "ada@example.com") for number in range(4)] == [True, False, False, False]
        assert sorted(message for message, _ in journal.in_doubt()) == ["0", "1", "2"]
