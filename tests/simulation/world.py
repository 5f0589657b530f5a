"""Runs a program: processes of one application on machines of the simulation, their users, a tenant and a store.

A process may be killed, frozen, closed and started again. In the end all disturbances are over, every user logs in once
more, every session that was acknowledged is looked at, and the processes close.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import attrs

from helpers.values import present
from passwordless_async import (
    ClosingReport,
    Email,
    Login,
    MfaRequired,
    Orphan,
    PasswordlessClient,
    PasswordlessError,
    StoredSession,
    TokenSet,
)
from passwordless_async.client.codes import Codes
from passwordless_async.client.events import Operation, Orphaned
from passwordless_async.client.sessions.records import SessionRecords
from passwordless_async.gateway import Gateway
from passwordless_async.testing import Fault
from simulation import store, tenant
from simulation.bounds import LONGEST
from simulation.browser import SITE, Browser
from simulation.program import PROCESSES, USERS, Setting, Step

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from passwordless_async import Secret, Store
    from simulation.network import Machine, Network

SCOPE = "openid email offline_access"
PATHS = ("/oauth/token", None, "/passwordless/start", "/oauth/revoke")
# A server that lies about who logged in cannot be found out; all else is played.
FAULTS = sorted(set(Fault) - {Fault.ID_TOKEN_OF_OTHER_USER})
_API_SECONDS = 10.0
_REST_SECONDS = 60.0  # after which nothing is left of a disturbance: pauses, circuits, cool-downs, locks


@attrs.define(eq=False)
class Presented:
    """A code that the program presents, and what those who asked for it were told."""

    who: Email
    code: str
    results: list[TokenSet | PasswordlessError] = attrs.field(factory=list)
    by: list[Process] = attrs.field(factory=list, repr=False)
    is_answered: bool = False  # or being answered, to a browser: with a session, or with a problem

    @property
    def has_tokens(self) -> bool:
        return any(isinstance(result, TokenSet) for result in self.results)


@attrs.define(eq=False, repr=False)
class Kept:
    """A session that was acknowledged, and what it must have."""

    who: Email
    identifier: Secret
    data: dict[str, int] = attrs.field(factory=dict)
    is_closed: bool = False  # someone has asked for that


@attrs.define(eq=False, repr=False)
class Call:
    """A call of the application."""

    verb: str
    process: Process
    who: Email | None  # the user; None: it is of several, or none
    task: asyncio.Task[Any]
    began: float
    ended: float = 0.0
    is_cancelled: bool = False


@attrs.define(eq=False)
class Process:
    """A process of the application."""

    machine: Machine
    client: PasswordlessClient
    gateway: Gateway | None = None
    orphans: list[Orphan] = attrs.field(factory=list)
    events: Counter[tuple[Operation, bool]] = attrs.field(factory=Counter)
    tokens: dict[Email, list[TokenSet]] = attrs.field(factory=dict)
    report: ClosingReport | None = None
    left: list[asyncio.Task[Any]] = attrs.field(factory=list)  # when it had closed
    is_killed: bool = False
    freezes: int = 0  # how often it was frozen, or the tenant was while it ran


class World:
    """Everything of one simulation."""

    def __init__(self, setting: Setting, network: Network) -> None:
        self.setting = setting
        self.network = network
        self.loop = network.loop
        self.users = [Email(f"user{number}@example.com") for number in range(USERS)]
        self.tenant = tenant.SimulatedTenant(setting.tenant())
        self.tenant_machine = network.machine(tenant.ADDRESS)
        self.server = store.Server()
        self.running: list[Process] = []
        self.processes: list[Process] = []
        self.calls: list[Call] = []
        self.presented: dict[tuple[Email, str], Presented] = {}
        self.given: list[tuple[Email, TokenSet]] = []
        self.kept: dict[Any, Kept] = {}
        self.browsers: list[Browser] = []
        self.complaints: list[str] = []
        self.unsent: list[tuple[Email, PasswordlessError]] = []
        self.asked_again: list[Presented] = []
        self.spends = False
        self.is_over = False
        self._dead: list[Machine] = []

    # The processes.

    async def begin(self) -> None:
        self.loop.set_exception_handler(self._complain)
        await self.tenant_machine.run(self.tenant.__aenter__())
        self.tenant.users.add(self.users[-1], mfa=["otp"])
        self.running = [await self._new_process(number) for number in range(PROCESSES)]
        if self.setting.slow:
            self.network.slow = self.users[0].username.partition("@")[0].encode(), self.setting.slow

    async def _new_process(self, number: int) -> Process:
        machine = self.network.machine(f"127.0.0.{2 + number}")
        machine.clock_wrong_by = self.setting.clocks[number]
        process: Process = await machine.run(self._started(machine))
        self.processes.append(process)
        return process

    async def _started(self, machine: Machine) -> Process:
        async def on_orphan(orphan: Orphan) -> None:
            await asyncio.sleep(0.01)
            if self.setting.orphans == "fails":
                raise RuntimeError("the application's own")
            process.orphans.append(orphan)

        def on_event(event: object) -> None:
            if isinstance(event, Orphaned):
                process.events[event.operation, event.error is None] += 1

        client = PasswordlessClient(
            self.tenant.url,
            self.tenant.public_client_id,
            profile=self.setting.profile,
            store=cast("Store", store.RemoteStore(self.server, self.network)),
            on_event=on_event,
            on_orphan=None if self.setting.orphans == "none" else on_orphan,
        )
        gateway = Gateway(client, base_url=SITE, scope=SCOPE) if self.setting.has_site else None
        process = Process(machine, client, gateway)
        await client.__aenter__()
        return process

    def _complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what goes wrong where no caller waits for it; what is aiohttp's server's own is none of it."""
        if not self.is_over and "RequestHandler" not in repr(context):
            self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    # The program.

    async def run(self, program: tuple[Step, ...]) -> None:
        for step in program:
            await asyncio.sleep(step.after)
            process, who = self.running[step.process], self.users[step.user]
            if hasattr(self, f"do_{step.verb}"):
                await getattr(self, f"do_{step.verb}")(step)
            else:
                self.begin_call(process, step.verb, getattr(self, step.verb)(process, who, step.number), who)

    def begin_call(self, process: Process, verb: str, call: Coroutine[Any, Any, Any], who: Email | None = None) -> Call:
        begun = Call(verb, process, who, process.machine.run(call), self.loop.now)
        self.calls.append(begun)

        def end(_task: asyncio.Task[Any]) -> None:
            begun.ended = self.loop.now

        begun.task.add_done_callback(end)
        return begun

    # What an application does.

    async def start(self, process: Process, who: Email, _number: int) -> None:
        await process.client.start(who)

    async def login(self, process: Process, who: Email, number: int) -> None:
        """Do as a person does: ask for a code, read it in a moment, and type it."""
        try:
            await process.client.start(who)
        except PasswordlessError as error:
            self.unsent.append((who, error))
        await asyncio.sleep(number / 20)
        await self.exchange(process, who, number)

    async def exchange(self, process: Process, who: Email, number: int) -> None:
        """Present the newest code, by one call or by two at once; every other login is for a session."""
        presented = self._fresh(who)
        if presented is None:
            return
        if number % 4 == 0:
            self.begin_call(process, "twin", self._exchange(process, presented), who)
        if number % 2:
            await self._log_in(process, presented, number)
        else:
            await self._exchange(process, presented)

    async def again(self, process: Process, who: Email, _number: int) -> None:
        """Present a code that was presented before, as a form that is sent again does."""
        known = [one for one in self.presented.values() if one.who == who]
        if known:
            self.asked_again.append(known[-1])
            await self._exchange(process, known[-1])

    async def wrong_code(self, process: Process, who: Email, number: int) -> None:
        await self._exchange(process, self._new(who, f"wrong{number}-{len(self.presented)}"))

    async def many(self, process: Process, _who: Email, number: int) -> None:
        """Present everybody's newest code, and leave after some outcomes."""
        known = [presented for presented in map(self._fresh, self.users) if presented]
        for presented in known:
            presented.by.append(process)
        logins = [Login(one.who, one.code, scope=SCOPE, tag=one) for one in known]
        async with aclosing(process.client.exchange_many(logins, concurrency=2)) as stream:
            async for outcome in stream:
                if outcome.tokens is None:
                    outcome.login.tag.results.append(present(outcome.error))
                else:
                    self._give(process, outcome.login.tag, outcome.tokens)
                number -= 1
                if number % 8 == 0:
                    break

    async def refresh(self, process: Process, who: Email, number: int) -> None:
        """Spend the newest refresh token, by several calls at once; what came of it is the next."""
        who = who if process.tokens.get(who) else next((one for one, known in process.tokens.items() if known), who)
        if known := process.tokens.get(who):
            tokens = known.pop()
            for _ in range(number % 3):
                self.begin_call(process, "twin", self._refresh(process, who, tokens), who)
            await self._refresh(process, who, tokens)

    async def revoke(self, process: Process, who: Email, _number: int) -> None:
        known = process.tokens.get(who)
        if known:
            await process.client.revoke(known.pop())

    async def get(self, process: Process, who: Email, number: int) -> None:
        if kept := self._session(who, number):
            self._look(kept, await process.client.sessions.get(kept.identifier))

    async def renew(self, process: Process, who: Email, number: int) -> None:
        """Refresh a session, if the user has none that of another one; in some cases every process does."""
        kept = self._session(who, number) or next(iter(self.kept.values()), None)
        if kept is None:
            return
        if number % 4 == 0:
            for other in self.running:
                self.begin_call(other, "twin", self._renew(other, kept), who)
        await self._renew(process, kept)

    async def _renew(self, process: Process, kept: Kept) -> None:
        self._look(kept, await process.client.sessions.refresh(kept.identifier))

    async def update(self, process: Process, who: Email, number: int) -> None:
        if kept := self._session(who, number):
            name = f"n{number}"
            kept.data.pop(name, None)  # while it is being changed it is one or the other
            self._look(kept, await process.client.sessions.update(kept.identifier, data={name: number}))
            kept.data[name] = number

    async def api(self, process: Process, who: Email, number: int) -> None:
        """Ask an API who the user is."""
        kept = self._session(who, number)
        if kept is None:
            return
        url, time = f"{self.tenant.url}/userinfo", aiohttp.ClientTimeout(total=_API_SECONDS)
        with suppress(aiohttp.ClientError, TimeoutError):
            async with process.client.sessions.api(kept.identifier, origins=[self.tenant.url]) as calls:
                async with calls.request("GET", url, timeout=time) as response:
                    said = await response.text()
                    assert [other for other in self.users if other != who and other.username in said] == []
                    # Where the tenant plays a fault, it may say anything else.
                    assert who.username in said or response.status != 200 or self.tenant.stats.faults_played

    async def close_session(self, process: Process, who: Email, number: int) -> None:
        if kept := self._session(who, number):
            kept.is_closed = True
            await process.client.sessions.close(kept.identifier)

    async def list_sessions(self, process: Process, who: Email, number: int) -> None:
        if kept := self._session(who, number):
            user = (await process.client.sessions.get(kept.identifier)).user
            await process.client.sessions.list(user)

    # What browsers do.

    async def browse(self, process: Process, who: Email, number: int) -> None:
        """Log in at the gateway of a process; that of another one is asked later who the user is."""
        browser = Browser(who)
        self.browsers.append(browser)
        await self.ask(process, browser, "POST", "/login", identifier=who.address)
        await asyncio.sleep(number / 20)
        presented = self._fresh(who)
        if presented is None:
            return
        presented.by.append(process)
        # If a browser leaves during the answer, its user has a session that is in their list, and ends unused.
        presented.is_answered = True
        answer = await self.ask(process, browser, "POST", "/code", code=presented.code)
        if answer["step"] == "factor" and "problem" not in answer:
            otp = self.tenant.mfa.otp_for(who) if who == self.users[-1] else "000000"
            answer = await self.ask(process, browser, "POST", "/factor", code=otp)
        browser.is_logged_in = answer["step"] == "home" and "problem" not in answer

    async def look(self, process: Process, who: Email, number: int) -> None:
        if browser := self._browser(who, number):
            self.check_user(browser, await self.ask(process, browser, "GET", "/session"))

    async def log_out(self, process: Process, who: Email, number: int) -> None:
        if browser := self._browser(who, number):
            browser.is_logged_in = False
            await self.ask(process, browser, "POST", "/logout")

    def check_user(self, browser: Browser, answer: dict[str, Any]) -> None:
        """Assert that a browser is shown its own user, or none."""
        assert answer.get("user", browser.who.username) == browser.who.username, answer

    async def ask(self, process: Process, browser: Browser, method: str, path: str, **members: str) -> dict[str, Any]:
        """Let a browser call the gateway of a process."""
        return await browser.call(present(process.gateway), method, path, **members)

    def _browser(self, who: Email, number: int) -> Browser | None:
        known = [browser for browser in self.browsers if browser.who == who and browser.is_logged_in]
        return known[number % len(known)] if known else None

    def _fresh(self, who: Email) -> Presented | None:
        """Return a user's newest code, unless it was presented before."""
        code = self._newest_code(who)
        return None if code is None or (who, code) in self.presented else self._new(who, code)

    def _newest_code(self, who: Email) -> str | None:
        with suppress(LookupError):
            return self.tenant.outbox.code_for(who)
        return None

    def _new(self, who: Email, code: str) -> Presented:
        presented = self.presented[who, code] = Presented(who, code)
        return presented

    def _session(self, who: Email, number: int) -> Kept | None:
        known = [kept for kept in self.kept.values() if kept.who == who]
        return known[number % len(known)] if known else None

    async def _exchange(self, process: Process, presented: Presented) -> None:
        presented.by.append(process)
        try:
            tokens = await process.client.exchange(presented.who, presented.code, scope=SCOPE)
        except MfaRequired as error:
            presented.results.append(error)
            tokens = await self._second_factor(process, presented, error)
        except PasswordlessError as error:
            presented.results.append(error)
            raise
        self._give(process, presented, tokens)

    async def _second_factor(self, process: Process, presented: Presented, error: MfaRequired) -> TokenSet:
        if error.state is None:
            raise error
        otp = self.tenant.mfa.otp_for(presented.who) if presented.who == self.users[-1] else "000000"
        try:
            return await process.client.mfa.verify_otp(error.state, otp)
        except PasswordlessError as refusal:
            presented.results.append(refusal)
            raise

    async def _log_in(self, process: Process, presented: Presented, number: int) -> None:
        presented.by.append(process)
        sessions, data = process.client.sessions, {"first": number}
        try:
            stored = await sessions.login(presented.who, presented.code, scope=SCOPE, data=data)
        except MfaRequired as error:
            presented.results.append(error)
            tokens = await self._second_factor(process, presented, error)
            self.given.append((presented.who, tokens))  # also if they are not stored
            stored = await sessions.keep(tokens, who=presented.who, data=data)
        except PasswordlessError as error:
            presented.results.append(error)
            raise
        presented.results.append(stored.tokens)
        self.kept[stored.id] = Kept(presented.who, stored.id, dict(data))
        self._look(self.kept[stored.id], stored)

    def _look(self, kept: Kept, stored: StoredSession) -> None:
        """Note the tokens of a session that was read: they are its user's."""
        self.given.append((kept.who, stored.tokens))

    def _give(self, process: Process, presented: Presented, tokens: TokenSet) -> None:
        presented.results.append(tokens)
        self._own(process, presented.who, tokens)

    def _own(self, process: Process, who: Email, tokens: TokenSet) -> None:
        self.given.append((who, tokens))
        owned = process.tokens.setdefault(who, [])
        if tokens not in owned:
            owned.append(tokens)

    async def _refresh(self, process: Process, who: Email, tokens: TokenSet) -> None:
        self._own(process, who, await process.client.refresh(tokens))

    async def do_cancel(self, step: Step) -> None:
        under_way = [call for call in self.calls if not call.task.done() and not call.is_cancelled]
        under_way = [call for call in under_way if call.process.machine.state == "runs"]
        # Rather one whose request is on the wire than one whose person types.
        busy = [call for call in under_way if call.process.client._dispatcher.gate.in_flight] or under_way
        if busy:
            call = busy[step.number % len(busy)]
            call.is_cancelled = call.task.cancel()

    # What goes wrong.

    def _later(self, step: Step, end: Any) -> None:
        """Let a disturbance end."""
        self.loop.call_later(step.number / 4, end)

    async def do_fault(self, step: Step) -> None:
        fault = FAULTS[step.number % len(FAULTS)]
        self.spends = self.spends or fault is Fault.CHALLENGE_SPENDS_CODE
        times, size = 1 + step.user, 300_000
        self.tenant.faults.add(fault, path=PATHS[step.user], times=times, delay=step.number / 4, size=size)

    async def do_lose_answer(self, _step: Step) -> None:
        """Let the service do what it is asked next, and its answer be lost."""
        self.tenant.faults.add(Fault.DROP_AFTER_PROCESSING, path="/oauth/token", times=1)

    async def do_cut(self, step: Step) -> None:
        """Cut one direction between two machines."""
        ours = self.running[step.process].machine.address
        other = store.ADDRESS if step.user == 0 else tenant.ADDRESS
        self.network.cut(*((ours, other) if step.number % 2 else (other, ours)))
        self._later(step, self.network.heal)

    async def do_cut_off(self, step: Step) -> None:
        """Cut a process off from everything."""
        ours = self.running[step.process].machine.address
        for other in (store.ADDRESS, tenant.ADDRESS):
            self.network.cut(ours, other)
            self.network.cut(other, ours)
        self._later(step, self.network.heal)

    async def do_lossy(self, step: Step) -> None:
        self.network.loss = step.number / 100

    async def do_freeze(self, step: Step) -> None:
        machine = self.tenant_machine if step.user == 0 else self.running[step.process].machine
        for process in self.running:
            process.freezes += machine in {process.machine, self.tenant_machine}
        machine.freeze()
        self._later(step, machine.thaw)

    async def do_set_clock(self, step: Step) -> None:
        self.running[step.process].machine.clock_wrong_by += (step.number - 20) * (1 + 9 * step.user)

    async def do_crash(self, step: Step) -> None:
        """Kill a process; another begins in its place."""
        old = self.running[step.process]
        old.is_killed = True
        old.machine.kill()
        self.running[step.process] = await self._new_process(step.process)

    async def do_restart(self, step: Step) -> None:
        """Close a process while others use it; another begins in its place."""
        old = self.running[step.process]
        self.begin_call(old, "aclose", self._close(old))
        self.running[step.process] = await self._new_process(step.process)

    async def do_tenant_crash(self, step: Step) -> None:
        if self.tenant_machine.state == "runs":
            self.tenant_machine.kill()
            self._later(step, self._restart_tenant)

    def _restart_tenant(self) -> None:
        if self.tenant_machine.state == "dead":
            self._dead.append(self.tenant_machine)
            self.tenant_machine = self.network.machine(tenant.ADDRESS)
            self.tenant_machine.run(self.tenant.restart())

    async def do_outage(self, step: Step) -> None:
        async def outage() -> None:
            with suppress(RuntimeError):  # there is one already
                async with self.tenant.outage():
                    await asyncio.sleep(step.number / 4)

        if self.tenant_machine.state == "runs":
            self.tenant_machine.run(outage())

    async def do_store_down(self, step: Step) -> None:
        self.server.is_down = True
        self._later(step, lambda: setattr(self.server, "is_down", False))

    async def do_store_lost(self, _step: Step) -> None:
        self.server.lose()

    # The end.

    def calm(self) -> None:
        """End all disturbances."""
        self.network.loss, self.server.is_down, self.network.slow = 0.0, False, (b"", 0.0)
        self.network.heal()
        self.tenant.faults.clear()
        for machine in [self.tenant_machine, *(process.machine for process in self.processes)]:
            machine.thaw()
        for process in self.running:
            process.machine.clock_wrong_by = 0.0
        self._restart_tenant()

    async def end(self) -> None:
        """End all disturbances, and wait until every call has ended and nothing is left of what went wrong."""
        self.calm()
        live = [call.task for call in self.calls if not call.process.is_killed]
        if live:
            await asyncio.wait(live, timeout=max(LONGEST.values()))
        await asyncio.sleep(_REST_SECONDS)

    async def close(self) -> None:
        """Close the processes, and the tenant's connections."""
        closings = [self.begin_call(process, "aclose", self._close(process)).task for process in self.running]
        await asyncio.wait(closings)
        await asyncio.sleep(1.0)

    async def _close(self, process: Process) -> None:
        process.report = await process.client.aclose()
        await asyncio.sleep(1e-6)  # after all that can run has run
        if process.gateway is not None:
            return  # browsers may be in the middle of a call
        # A start that waits for leave of the store, or reports to it, is its caller's; so is a list that is being read.
        own = {call.task for call in self.calls}
        tasks = [task for task in process.machine.tasks if not task.done() and task not in own]
        callers = (f"<coroutine object {Codes.__name__}.", f"<coroutine object {SessionRecords.info.__qualname__} ")
        process.left = [task for task in tasks if not str(task.get_coro()).startswith(callers)]

    async def bury(self) -> None:
        """End what killed processes have left, and the tenant."""
        self.is_over = True
        await self.tenant_machine.run(self.tenant.aclose())
        for machine in self._dead:
            await machine.bury()
        for process in self.processes:
            if process.is_killed:
                await process.machine.bury()
            await process.machine.run(process.client.aclose(grace=0.0))
