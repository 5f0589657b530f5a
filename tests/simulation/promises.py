"""What must hold, whatever happened."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from helpers import promises
from helpers.values import present
from passwordless_async import (
    CircuitOpen,
    CoolingDown,
    InvalidSession,
    MfaRequired,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    StoreUnavailable,
    TemporarilyUnavailable,
    TransportError,
)
from passwordless_async.client.events import Operation
from passwordless_async.testing import User
from simulation.bounds import BY_ANOTHER, FROZEN, LONGEST, TYPING, UNDISTURBED
from simulation.network import MACHINE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passwordless_async import Orphan
    from simulation.world import Call, Presented, World

# What a call must not end with because of another user's; a cool-down is always the user's own.
ANOTHERS = (CircuitOpen, QuotaExceeded, RateLimited, StoreUnavailable, TemporarilyUnavailable, TransportError)


async def every_user_can_log_in(world: World) -> None:
    """Nothing of a disturbance is left in a process: no lock, no slot, no queue, no pause."""
    for number, who in enumerate(world.users):
        process = world.running[number % len(world.running)]
        before = len(world.given)
        call = world.begin_call(process, "login", world.login(process, who, 1 + 2 * number), who)
        await asyncio.wait([call.task], timeout=LONGEST["login"])
        assert call.task.done(), f"{who} cannot log in"
        assert call.task.exception() is None, f"{who} cannot log in: {call.task.exception()!r}"
        assert len(world.given) > before
        await asyncio.sleep(2.0)


async def no_session_is_lost(world: World) -> None:
    """Each session that was acknowledged is there, with its user and its data, unless its end was asked for."""
    for number, kept in enumerate(world.kept.values()):
        process = world.running[number % len(world.running)]
        read = process.machine.run(process.client.sessions.get(kept.identifier))
        await asyncio.wait([read])
        problem = read.exception()
        if problem is not None:
            assert isinstance(problem, InvalidSession), problem
            assert kept.is_closed or world.server.was_lost, "an acknowledged session is lost"
            continue
        stored = read.result()
        world.given.append((kept.who, stored.tokens))
        assert stored.user == User.of(kept.who).subject
        assert kept.data.items() <= stored.data.items()


async def no_browser_is_forgotten(world: World) -> None:
    """Each browser whose login was acknowledged is shown its user, unless it has logged out."""
    for number, browser in enumerate(world.browsers):
        process = world.running[number % len(world.running)]
        if browser.is_logged_in:
            answer: dict[str, Any] = await process.machine.run(world.ask(process, browser, "GET", "/session"))
            world.check_user(browser, answer)
            assert answer["logged_in"] or world.server.was_lost, "an acknowledged login is lost"


def check(world: World) -> None:
    """Assert what must hold when every process has closed."""
    _every_call_ended(world)
    _no_other_user_is_delayed(world)
    promises.no_user_has_anothers_tokens(world.tenant, world.given, _orphans(world))
    _nothing_twice(world)
    _nothing_left(world)
    _nothing_lost(world)


def _every_call_ended(world: World) -> None:
    for call in world.calls:
        if call.process.is_killed:
            continue
        assert call.task.done(), f"{call.verb} has not ended: {call.task}"
        longest = LONGEST[call.verb] * (1 + _calls_beside(call, world)) + FROZEN * call.process.freezes
        assert call.ended - call.began <= longest, f"{call.verb} took {call.ended - call.began} seconds"
        if call.task.cancelled():
            assert call.is_cancelled, f"{call.verb} was cancelled"
        elif (error := call.task.exception()) is not None and not isinstance(error, PasswordlessError):
            raise AssertionError(f"{call.verb} raised {error!r}") from error
    promises.nothing_else_failed(world.complaints, orphans=world.setting.orphans)


def _calls_beside(call: Call, world: World) -> int:
    """Return how many calls of a call's user it may have waited for."""
    beside = [other for other in world.calls if other.began <= call.ended and other.ended >= call.began]
    return sum(other.who == call.who for other in beside) - 1  # without itself


def _no_other_user_is_delayed(world: World) -> None:
    """Where one user alone is slow, each call of another one ends soon, and not with an error that is not its own."""
    if not world.setting.slow:
        return
    slow = world.users[0]
    for call in world.calls:
        if call.who in {None, slow}:
            continue
        longest = UNDISTURBED * (1 + _calls_beside(call, world)) + BY_ANOTHER
        longest += TYPING if call.verb == "login" else 0.0
        assert call.ended - call.began <= longest, f"{call.verb} of {call.who} took {call.ended - call.began} seconds"
        assert not _is_anothers(call.task.exception()), f"{call.verb} of {call.who}: {call.task.exception()!r}"
    assert [error for who, error in world.unsent if who != slow and _is_anothers(error)] == []


def _is_anothers(error: BaseException | None) -> bool:
    return isinstance(error, ANOTHERS) and not isinstance(error, CoolingDown)


def _orphans(world: World) -> list[Orphan]:
    return [orphan for process in world.processes for orphan in process.orphans]


def _nothing_twice(world: World) -> None:
    # What is known of a code is forgotten when the user is sent another; and without the store, a process does not know
    # what another one has presented.
    knew_all = not (world.server.was_lost or world.server.was_missed)
    excused = sum(not knew_all or _is_outdated(one, world) for one in world.asked_again)
    assert world.tenant.stats.presented_again <= excused, "a code or a refresh token was sent twice"
    promises.no_proof_is_used_twice(world.tenant, spends=world.spends)


def _is_outdated(presented: Presented, world: World) -> bool:
    """Return whether the user had a newer code when a code arrived for the last time, by whichever call."""
    who, code = presented.who.username, presented.code
    forms = [(request.at, request.form) for request in world.tenant.requests if request.path == "/oauth/token"]
    last = max((at for at, form in forms if (form.get("username"), form.get("otp")) == (who, code)), default=None)
    if last is None:
        return False
    messages = world.tenant.outbox.messages
    codes = [one.code for one in messages if one.username == who and one.factor is None and one.at <= last]
    return codes[-1:] != [code]


def _nothing_left(world: World) -> None:
    for process in world.processes:
        if process.is_killed:
            continue
        assert process.left == [], f"tasks are left when a client has closed: {process.left}"
        wires = [wire for wire in world.network.wires if wire.machine is process.machine]
        assert wires == [], "connections are left"
        timers = [timer for timer in world.loop._scheduled if timer._context.get(MACHINE) is process.machine]
        left = [timer for timer in timers if not timer.cancelled()]
        assert left == [], f"timers are left: {left}"
        promises.nothing_is_held(process.client)


def nothing_is_held(world: World) -> None:
    """Assert that nothing is left of any call once it has ended, while the processes go on."""
    for process in world.running:
        promises.nothing_is_held(process.client)


def _nothing_lost(world: World) -> None:
    """Of each login that the tenant let in, a user has the tokens, or they are revoked, or a caller was told."""
    codes = promises.by_key(world.tenant, world.presented)
    given = {present(tokens.key).thumbprint for _, tokens in world.given}
    handed = {present(o.tokens.key).thumbprint for o in _orphans(world) if o.tokens is not None}
    named = {who for process in world.processes if process.report for who in process.report.exchanges}
    untold: list[Presented] = []
    for family in world.tenant.refresh_families:
        if family.revoked or family.thumbprint in given | handed:
            continue
        presented = codes[present(family.thumbprint)]
        knows = presented.is_answered or any(isinstance(result, promises.TOLD) for result in presented.results)
        if not knows and presented.who not in named and not any(process.is_killed for process in presented.by):
            untold.append(presented)
    factors = _abandoned_factors(world, untold)
    if world.setting.orphans == "keeps":
        handed_over = Counter[Any](orphan.who for orphan in _orphans(world) if isinstance(orphan.error, promises.TOLD))
        lost = Counter[Any](one.who for one in untold) - handed_over
        assert lost.total() <= factors, f"a login is lost: {untold}"
    else:
        events = sum((process.events for process in world.processes), Counter[Any]())
        # The tokens of a second factor stay, for a caller that asks again in time.
        told = events[Operation.EXCHANGE, False] + events[Operation.MFA, False] + events[Operation.MFA, True]
        assert len(untold) <= told + factors, f"a login is lost: {untold}"


def _abandoned_factors(world: World, untold: Iterable[Presented]) -> int:
    """Return how many of these logins may have ended with a second factor that closing abandoned, and reports."""
    abandoned = sum(process.report.factors for process in world.processes if process.report)
    return min(abandoned, sum(any(isinstance(result, MfaRequired) for result in one.results) for one in untold))
