"""Programs of calls by several users at once, and what must hold when they have ended.

A program is a list of steps: a verb, a user and a number, whose meaning is the verb's own. The steps of one user run in
order, beside those of the others: the number of the loop's turns between two steps decides what comes between what.
``program_grammar.py`` makes programs, and ``program_wire.py`` watches what they send.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict, deque
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs

from helpers import promises
from helpers.program_wire import TOKEN, Wire
from helpers.values import present
from passwordless_async import (
    INTERACTIVE,
    ClosingReport,
    CodeSpent,
    Email,
    Login,
    MalformedAnswer,
    Orphan,
    OutcomeUnknown,
    PasswordlessClient,
    PasswordlessError,
    TokenSet,
    WrongCode,
)
from passwordless_async._common.secret import Secret
from passwordless_async.client.events import Challenged, Operation, Orphaned, Retried
from passwordless_async.testing import Fault, LocalTenant, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    Step = tuple[str, int, int]

USERS = 3
SCOPE = "openid email offline_access"
PATHS = (TOKEN, None, "/passwordless/start", "/oauth/revoke")
SIZE = 300_000  # bytes of a body that is too large
PATIENCE = 10.0  # seconds after which what has not ended is taken to hang
# A server that lies about who logged in cannot be found out. These 429s hold all calls back for longer than a program
# lasts. All else is played.
FAULTS = sorted(set(Fault) - {Fault.ID_TOKEN_OF_OTHER_USER, Fault.RATE_LIMITED_SILENT, Fault.RATE_LIMITED_X_RATELIMIT})
NONCES: tuple[dict[str, Any], ...] = (
    {},
    {"nonce_rotation": 1, "accepted_previous_nonces": 4},
    {"nonce_rotation": 3, "accepted_previous_nonces": 0},
    {"single_use_nonces": True},
    {"nonce_rotation": 3, "nonce_in_answers": "never"},
)
# After these a code, or a refresh token, must not be sent again.
SPENT = (TokenSet, WrongCode, MalformedAnswer, OutcomeUnknown)
_QUICK = attrs.evolve(INTERACTIVE.single, patience=0.1, backoff=0.0, backoff_at_most=0.0)
_PROFILE = attrs.evolve(INTERACTIVE, single=_QUICK, many=_QUICK, cool_down=0.0, starts_per_hour=None)


@attrs.frozen
class Setting:
    """How a program is run.

    Attributes:
        adaptive: Whether the number in flight adapts.
        circuit: Whether the circuit opens.
        in_flight: How many requests may be on the wire.
        nonces: Which of the ways to change nonces the tenant has.
        orphans: What ``on_orphan`` does: ``keeps``, ``fails``, or ``none``: there is no such hook.
        shared: Whether the connections are the caller's.
        grace: Seconds that the client is given when it is closed.
        hook_turns: How many turns of the loop ``on_orphan`` takes.
        order: Begins the numbers by which ready tasks are shuffled; None: they run in asyncio's own order.
    """

    adaptive: bool = False
    circuit: bool = False
    in_flight: int = 100
    nonces: int = 0
    orphans: str = "keeps"
    shared: bool = False
    grace: float = PATIENCE
    hook_turns: int = 2
    order: int | None = None

    @property
    def profile(self) -> Any:
        return attrs.evolve(
            _PROFILE,
            adaptive=self.adaptive,
            max_in_flight=self.in_flight,
            outage_after=3 if self.circuit else 1_000_000,
            outage_rest=0.001,
            outage_rest_at_most=0.002,
            grace=self.grace,
        )


@attrs.frozen
class Tally:
    """What a program did.

    Attributes:
        steps: How many steps it has.
        users: How many users got tokens.
        rotations: How many refresh tokens the tenant has replaced.
        orphans: How many results ``on_orphan`` has taken.
    """

    steps: int
    users: int
    rotations: int
    orphans: int


# The least share of a run's programs that must have done each.
FLOORS = {"tokens": 1 / 2, "tokens of two users": 1 / 3, "rotation": 1 / 4, "orphan": 1 / 10}


def shares(tallies: Sequence[Tally]) -> dict[str, float]:
    """Return which share of a run's programs did what :data:`FLOORS` names."""
    did = {
        "tokens": [tally.users >= 1 for tally in tallies],
        "tokens of two users": [tally.users >= 2 for tally in tallies],
        "rotation": [tally.rotations >= 1 for tally in tallies],
        "orphan": [tally.orphans >= 1 for tally in tallies],
    }
    return {what: sum(each) / len(tallies) for what, each in did.items()}


@attrs.define(eq=False)
class Presented:
    """A code that the program presents, and what those who asked for it were told."""

    who: Email
    code: str
    results: list[TokenSet | PasswordlessError | None] = attrs.field(factory=list)
    calls: list[asyncio.Task[Any]] = attrs.field(factory=list)


@attrs.define(eq=False)
class Refreshed:
    """Tokens that the program refreshes, and what those who asked for it were told."""

    tokens: TokenSet
    results: list[TokenSet | PasswordlessError] = attrs.field(factory=list)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class World:
    """Runs a program against a tenant, and keeps what comes of it."""

    def __init__(self, tenant: LocalTenant, setting: Setting, session: aiohttp.ClientSession | None = None) -> None:
        self.tenant = tenant
        self.setting = setting
        self.session = session
        hook = None if setting.orphans == "none" else self._on_orphan
        self.client = PasswordlessClient(
            tenant.url,
            tenant.public_client_id,
            session=session,
            profile=setting.profile,
            on_event=self._on_event,
            on_orphan=hook,
        )
        self.users = [Email(f"user{number}@example.com") for number in range(USERS)]
        self.presented: dict[tuple[Email, str], Presented] = {}
        self.given: list[tuple[Email, TokenSet]] = []
        self.orphans: list[Orphan] = []
        self.orphaned: Counter[tuple[Operation, bool]] = Counter()
        self.complaints: list[str] = []
        self.reports: list[ClosingReport] = []
        self.sessions: dict[Email, list[TokenSet]] = defaultdict(list)
        self.running: list[asyncio.Task[Any]] = []
        self.ended: list[asyncio.Task[Any]] = []
        self.cancelled: set[asyncio.Task[Any]] = set()
        self.starts: dict[Email, list[asyncio.Task[Any]]] = defaultdict(list)
        self.calls: dict[Email, list[asyncio.Task[Any]]] = defaultdict(list)
        self.refreshed: dict[Email, list[Refreshed]] = defaultdict(list)
        self.leaving: dict[Email, int] = {}
        self.asked: Counter[Operation] = Counter()
        self.retried: Counter[Operation] = Counter()
        self.challenged: Counter[Operation] = Counter()
        self.out = False
        self.wrong = 0
        self.spends = False
        self.steps = 0
        self.wire = Wire(self.client, self._was_sent)

    def _was_sent(self, secret: str) -> None:
        """Let those leave who wanted to leave once their code, or refresh token, is on the wire."""
        for who, number in list(self.leaving.items()):
            codes = {code for user, code in self.presented if user == who}
            if secret in codes | {one.tokens.refresh_token for one in self.refreshed[who]}:
                del self.leaving[who]
                self.ended.append(asyncio.get_running_loop().create_task(self._leave(who, number)))

    async def _leave(self, who: Email, number: int) -> None:
        await turns(number % 12)
        self._cancel(self.calls[who])

    def _cancel(self, calls: Iterable[asyncio.Task[Any]]) -> None:
        for call in calls:
            if not call.done() and call not in self.cancelled:
                self.cancelled.add(call)
                call.cancel()

    def _on_event(self, event: object) -> None:
        match event:
            case Orphaned():
                self.orphaned[event.operation, event.error is None] += 1
            case Retried():
                self.retried[event.operation] += 1
            case Challenged():
                self.challenged[event.operation] += 1

    async def _on_orphan(self, orphan: Orphan) -> None:
        await turns(self.setting.hook_turns)
        if self.setting.orphans == "fails":
            raise RuntimeError("the application's own")
        self.orphans.append(orphan)

    def complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what goes wrong where nobody waits for it."""
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def begin(self, call: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(call)
        self.running.append(task)
        return task

    def _present(self, presented: Presented) -> None:
        self.asked[Operation.EXCHANGE] += 1
        call = self.begin(self._exchange(presented))
        presented.calls.append(call)
        self.calls[presented.who].append(call)

    # The verbs that wait: for the loop, for codes, for the ends of a user's calls.

    async def turns(self, _user: int, number: int) -> None:
        await turns(3 * number)

    async def mail(self, user: int, _number: int) -> None:
        """Wait until a user's starts have ended."""
        await _ended(self.starts[self.users[user]])

    async def settle(self, user: int, _number: int) -> None:
        """Wait until a user's exchanges and refreshes have ended."""
        await _ended(self.calls[self.users[user]])

    # The verbs of users.

    def start(self, user: int, _number: int) -> None:
        self.asked[Operation.START] += 1
        self.starts[self.users[user]].append(self.begin(self.client.start(self.users[user])))

    def exchange(self, user: int, number: int) -> None:
        """Present the newest code, by one call or by several at once."""
        presented = self._fresh(self.users[user])
        if presented is None:
            return
        for _ in range(1 + (number % 4 == 0)):
            self._present(presented)

    def again(self, user: int, _number: int) -> None:
        """Present the newest code again, if it may be spent. A code that was sent since makes it an old one."""
        who = self.users[user]
        presented = self._newest(who)
        is_busy = not all(call.done() for call in self.starts[who] + self.calls[who])
        if presented and not is_busy and any(isinstance(result, SPENT) for result in presented.results):
            self._present(presented)

    def leave(self, user: int, number: int) -> None:
        """Cancel a user's exchanges and refreshes, some turns after the next of their secrets is on the wire."""
        self.leaving[self.users[user]] = number

    def twin(self, user: int, _number: int) -> None:
        """Ask once more for a code that is being presented."""
        for presented in self.presented.values():
            flight = self.client._logins._flights._flights.get((presented.who, Secret(presented.code)))
            if presented.who == self.users[user] and flight is not None and flight.waiters and not flight.has_failed:
                self._present(presented)
                break

    def wrong_code(self, user: int, _number: int) -> None:
        self.wrong += 1
        self._present(self._new(self.users[user], f"wrong{self.wrong}"))

    def many(self, _user: int, number: int) -> None:
        """Present everybody's newest code, and leave after some outcomes."""
        known = [presented for presented in map(self._fresh, self.users) if presented]
        if known:
            call = self.begin(self._many(known, number))
            for presented in known:
                self.asked[Operation.EXCHANGE] += 1
                presented.calls.append(call)
                self.calls[presented.who].append(call)

    def refresh(self, user: int, number: int) -> None:
        """Spend the newest refresh token, by several calls at once; what came of it is the next."""
        who = self.users[user]
        if self.sessions[who]:
            refreshed = Refreshed(self.sessions[who].pop())
            self.refreshed[who].append(refreshed)
            for _ in range(1 + number % 3):
                self._renew(who, refreshed)

    def refresh_again(self, user: int, _number: int) -> None:
        """Ask once more with a user's last refresh token that was spent, or may have been."""
        who = self.users[user]
        for refreshed in self.refreshed[who][-1:]:
            if any(isinstance(result, SPENT) for result in refreshed.results):
                self._renew(who, refreshed)

    def _renew(self, who: Email, refreshed: Refreshed) -> None:
        self.asked[Operation.REFRESH] += 1
        self.calls[who].append(self.begin(self._refresh(who, refreshed)))

    def revoke(self, user: int, _number: int) -> None:
        if self.sessions[self.users[user]]:
            self.begin(self.client.revoke(self.sessions[self.users[user]].pop()))

    def cancel(self, _user: int, number: int) -> None:
        under_way = [task for task in self.running if not task.done() and task not in self.cancelled]
        if under_way:
            self._cancel([under_way[number % len(under_way)]])

    # The verbs of what disturbs them.

    def lost_answer(self, _user: int, _number: int) -> None:
        """Have the next token request processed, and its answer lost."""
        self.tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path=TOKEN, times=1)

    def late_answer(self, _user: int, _number: int) -> None:
        """Have the answer to a token request come after that of a later one."""
        self.wire.holds += 1

    def fault(self, user: int, number: int) -> None:
        fault = FAULTS[number % len(FAULTS)]
        self.spends = self.spends or fault is Fault.CHALLENGE_SPENDS_CODE
        self.tenant.faults.add(
            fault, path=PATHS[user % 2], times=1 + user, delay=0.01, size=SIZE, retry_after=0, after=user // 2
        )

    def no_fault(self, _user: int, _number: int) -> None:
        self.tenant.faults.clear()

    def outage(self, _user: int, number: int) -> None:
        if not self.out:
            self.out = True
            task = asyncio.get_running_loop().create_task(self._outage(number))
            self.ended.append(task)

    def close(self, _user: int, number: int) -> None:
        if number % 4 == 0:
            self.ended.append(asyncio.get_running_loop().create_task(self._close()))

    def _fresh(self, who: Email) -> Presented | None:
        """Return a user's newest code, unless it was presented before."""
        with suppress(LookupError):
            code = self.tenant.outbox.code_for(who)
            if (who, code) not in self.presented:
                return self._new(who, code)
        return None

    def _newest(self, who: Email) -> Presented | None:
        """Return a user's newest code, if it was presented before."""
        with suppress(LookupError):
            return self.presented.get((who, self.tenant.outbox.code_for(who)))
        return None

    def _new(self, who: Email, code: str) -> Presented:
        presented = self.presented[who, code] = Presented(who, code)
        return presented

    async def _exchange(self, presented: Presented) -> None:
        try:
            tokens = await self.client.exchange(presented.who, presented.code, scope=SCOPE)
        except CodeSpent:
            raise  # it says nothing of what became of the code
        except PasswordlessError as error:
            presented.results.append(error)
            raise
        self._keep(presented, tokens)

    def _keep(self, presented: Presented, tokens: TokenSet) -> None:
        presented.results.append(tokens)
        self.given.append((presented.who, tokens))
        if tokens not in self.sessions[presented.who]:
            self.sessions[presented.who].append(tokens)

    async def _many(self, known: list[Presented], number: int) -> None:
        logins = [Login(one.who, one.code, scope=SCOPE, tag=one) for one in known]
        async with aclosing(self.client.exchange_many(logins, concurrency=2)) as stream:
            async for outcome in stream:
                if outcome.tokens is None:
                    outcome.login.tag.results.append(outcome.error)
                else:
                    self._keep(outcome.login.tag, outcome.tokens)
                number -= 1
                if number % 4 == 0:
                    break

    async def _refresh(self, who: Email, refreshed: Refreshed) -> None:
        try:
            renewed = await self.client.refresh(refreshed.tokens)
        except PasswordlessError as error:
            refreshed.results.append(error)
            raise
        refreshed.results.append(renewed)
        self.given.append((who, renewed))
        if renewed not in self.sessions[who]:
            self.sessions[who].append(renewed)

    async def _outage(self, number: int) -> None:
        async with self.tenant.outage():
            await turns(3 * number)
        self.out = False

    async def _close(self) -> None:
        self.reports.append(await self.client.aclose())
        assert not self.client._logins._flights._handovers
        assert not self.client._refreshes._flights._handovers

    # The run.

    async def run(self, program: Iterable[Step]) -> None:
        """Run a program, close the client with all that is under way, and wait until every call has ended."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self.complain)
        before = asyncio.all_tasks()
        await self.client.__aenter__()
        steps = list(program)
        self.steps = len(steps)
        await asyncio.gather(*(self._play([step for step in steps if step[1] == user]) for user in range(USERS)))
        await self._close()
        left = {task for task in self.running + self.ended if not task.done()}
        if left:
            _, left = await asyncio.wait(left, timeout=PATIENCE)
        assert left == set()
        alive = {task for task in asyncio.all_tasks() - before if not _of_server(task)}
        assert alive == set(), alive
        if self.session is not None:
            assert not present(self.session.connector)._acquired
            await self.session.close()
        await self._server_is_rid_of_us(before)
        await turns(5)  # in which the loop tells of tasks that have just ended

    async def _server_is_rid_of_us(self, before: set[asyncio.Task[Any]]) -> None:
        await self._until(lambda: not present(present(self.tenant._runner).server).connections)
        await self._until(lambda: before == asyncio.all_tasks())

    async def _play(self, steps: Iterable[Step]) -> None:
        for verb, user, number in steps:
            await self._step(verb, user, number)

    async def _step(self, verb: str, user: int, number: int) -> None:
        waiting = getattr(self, verb)(user, number)
        if waiting is not None:
            await waiting
        await turns(number % 5)

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Give the loop turns until something holds; bounded, so that a defect fails instead of hanging."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not holds() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.001)
        assert holds(), f"left: {asyncio.all_tasks()}"

    # What must hold.

    def check(self) -> None:
        """Assert what must hold after any program."""
        self._ended_as_they_may()
        promises.no_user_has_anothers_tokens(self.tenant, self.given, self.orphans)
        self._nothing_twice()
        self._nothing_unasked()
        self._nothing_held()
        self._nothing_lost()

    def _ended_as_they_may(self) -> None:
        for task in self.running:
            if task.cancelled():
                assert task in self.cancelled
            else:
                assert task.exception() is None or isinstance(task.exception(), PasswordlessError), task
        assert [None] * len(self.ended) == [task.exception() for task in self.ended]
        promises.nothing_else_failed(self.complaints, orphans=self.setting.orphans)

    def _nothing_twice(self) -> None:
        assert self.tenant.stats.presented_again == 0
        assert self.wire.at_once <= 1
        promises.no_proof_is_used_twice(self.tenant, spends=self.spends)

    def _nothing_unasked(self) -> None:
        """What the tenant saw is what was called for, with the retries and challenges that events have told of."""
        again = self.retried + self.challenged
        tokens = (Operation.EXCHANGE, Operation.REFRESH)
        assert self.tenant.stats.start_requests <= self.asked[Operation.START] + again[Operation.START]
        assert self.tenant.stats.token_requests <= sum(self.asked[each] + again[each] for each in tokens)
        # Each challenge is a fault's, the cold start's or a rotation's, once for each request that was in flight then.
        changes = 1 + self.wire.rotations
        assert self.wire.challenges <= self.wire.most_in_flight * changes + self.tenant.stats.faults_played
        assert self.wire.stale == []

    def _nothing_held(self) -> None:
        promises.nothing_is_held(self.client)
        session = present(self.client._transport._session)
        assert session.closed
        if self.session is None:
            connector = session._connector
            assert connector is None or (connector.closed and not connector._acquired and not connector._conns)

    def _nothing_lost(self) -> None:
        """Of each login that the tenant let in, a user has the tokens, or they are revoked, or a caller was told."""
        codes = promises.by_key(self.tenant, self.presented)
        given = {present(tokens.key).thumbprint for _, tokens in self.given}
        handed = [present(o.tokens.key).thumbprint for o in self.orphans if o.spent is None and o.tokens is not None]
        assert len(handed) == len(set(handed))
        assert not given & set(handed)
        named = {who for report in self.reports for who in report.exchanges}
        untold: Counter[Email] = Counter()
        for family in self.tenant.refresh_families:
            if family.revoked or family.thumbprint in given | set(handed):
                continue
            presented = codes[present(family.thumbprint)]
            if presented.who not in named and not any(
                isinstance(result, promises.TOLD) for result in presented.results
            ):
                untold[presented.who] += 1
        self._told_of(untold)

    def _told_of(self, untold: Counter[Email]) -> None:
        """Assert that of each login whose callers had all gone the application was told, and of none twice."""
        gone = Counter(one.who for one in self.presented.values() if not one.results)
        told = Counter(o.who for o in self.orphans if o.who is not None)
        if self.setting.orphans == "keeps":
            assert untold <= Counter(o.who for o in self.orphans if isinstance(o.error, promises.TOLD))
            assert told <= gone
        else:
            assert untold.total() <= self.orphaned[Operation.EXCHANGE, False]
        assert self.orphaned[Operation.EXCHANGE, True] + self.orphaned[Operation.EXCHANGE, False] <= gone.total()

    def tally(self) -> Tally:
        return Tally(
            steps=self.steps,
            users=len({who for who, _ in self.given}),
            rotations=self.tenant.stats.refresh_rotations,
            orphans=len(self.orphans),
        )


async def _ended(calls: Sequence[asyncio.Task[Any]]) -> None:
    if calls:
        await asyncio.wait(calls, timeout=PATIENCE)


def _of_server(task: asyncio.Task[Any]) -> bool:
    name = getattr(task.get_coro(), "__qualname__", "")
    return str(name).startswith(("RequestHandler.", "BaseSelectorEventLoop._accept_connection2"))


def settings_of(setting: Setting) -> TenantSettings:
    return TenantSettings(id_token_alg="ES256", **NONCES[setting.nonces])


class ShuffledLoop(asyncio.SelectorEventLoop):
    """A loop that runs the tasks that are ready in any order, after all other callbacks, which asyncio relies on."""

    _ready: deque[asyncio.Handle]

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    def _run_once(self) -> None:
        ready = list(self._ready)
        tasks = [handle for handle in ready if _is_of_task(handle)]
        self._chance.shuffle(tasks)
        self._ready.clear()
        self._ready.extend([handle for handle in ready if not _is_of_task(handle)] + tasks)
        super()._run_once()  # type: ignore[misc] # asyncio's own


def _is_of_task(handle: Any) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)


def play(program: Sequence[Step], setting: Setting) -> Tally:
    """Run a program, check what came of it, and return what it did."""

    def loop() -> asyncio.AbstractEventLoop:
        if setting.order is None:
            return asyncio.SelectorEventLoop()
        return ShuffledLoop(random.Random(setting.order))  # noqa: S311 - no secret

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(_play(program, setting))


async def _play(program: Sequence[Step], setting: Setting) -> Tally:
    """Run a program against a tenant in the same loop, check what came of it, and return what it did."""
    async with LocalTenant(settings_of(setting)) as tenant:
        session = aiohttp.ClientSession() if setting.shared else None
        world = World(tenant, setting, session)
        await world.run(program)
        world.check()
        return world.tally()
