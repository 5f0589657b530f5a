"""What must hold, whatever happened."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from joserfc import jws
from joserfc.jwk import ECKey

from helpers.values import present
from passwordless_async import (
    Email,
    InvalidIdToken,
    InvalidSession,
    MalformedAnswer,
    NonceChallengeRepeated,
    NotSenderConstrained,
    OAuthError,
    OutcomeUnknown,
    PasswordlessError,
)
from passwordless_async.client.events import Operation
from passwordless_async.testing import User
from simulation.network import MACHINE
from simulation.world import LONGEST_CALL, Process, World

if TYPE_CHECKING:
    from passwordless_async import Orphan
    from simulation.world import Presented

# After these the service may have made tokens, and whoever asked for them was told that something is amiss.
TOLD = (InvalidIdToken, MalformedAnswer, NonceChallengeRepeated, NotSenderConstrained, OutcomeUnknown)


async def every_user_can_log_in(world: World) -> None:
    """Nothing of a disturbance is left in a process: no lock, no slot, no queue, no pause."""
    for number, who in enumerate(world.users):
        process = world.running[number % len(world.running)]
        before = len(world.given)
        call = world.begin_call(process, "login", world.login(process, who, 1 + 2 * number))
        await asyncio.wait([call.task], timeout=LONGEST_CALL)
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
    _no_user_has_anothers_tokens(world)
    _nothing_twice(world)
    _nothing_left(world)
    _nothing_lost(world)


def _every_call_ended(world: World) -> None:
    for call in world.calls:
        if call.process.is_killed:
            continue
        assert call.task.done(), f"{call.verb} has not ended: {call.task}"
        assert call.ended - call.began <= LONGEST_CALL, f"{call.verb} took {call.ended - call.began} seconds"
        if call.task.cancelled():
            assert call.is_cancelled, f"{call.verb} was cancelled"
        elif (error := call.task.exception()) is not None and not isinstance(error, PasswordlessError):
            raise AssertionError(f"{call.verb} raised {error!r}") from error
    own = "on_orphan of a PasswordlessClient has failed" if world.setting.orphans == "fails" else "?"
    complaints = [complaint for complaint in world.complaints if not complaint.startswith(own)]
    assert complaints == []


def _no_user_has_anothers_tokens(world: World) -> None:
    owner: dict[str, Email] = {}
    orphans = [(_user_of(world, one), one.tokens) for one in _orphans(world) if one.tokens is not None]
    for who, tokens in [*world.given, *orphans]:
        claims = present(tokens.claims)
        assert (claims["sub"], claims["email"]) == (User.of(who).subject, who.username)
        assert who == owner.setdefault(tokens.access_token, who)
        if tokens.refresh_token is not None:
            refresh = present(world.tenant._state).refresh
            family = present(refresh.find(tokens.refresh_token, world.tenant.public_client_id))
            assert (family.user, family.thumbprint) == (User.of(who), present(tokens.key).thumbprint)


def _orphans(world: World) -> list[Orphan]:
    return [orphan for process in world.processes for orphan in process.orphans]


def _user_of(world: World, orphan: Orphan) -> Email:
    if isinstance(orphan.who, Email):
        return orphan.who
    return next(who for who, tokens in world.given if tokens is orphan.spent)


def _nothing_twice(world: World) -> None:
    stats = world.tenant.stats
    # A server that refuses a proof has not looked at the code. What is known of a code is forgotten when the user is
    # sent another; and without the store, a process does not know what another one has presented.
    knew_all = not (world.server.was_lost or world.server.was_missed)
    asked = [one for one in world.asked_again if one.is_outdated or not knew_all]
    excused = len(asked) + stats.proofs_refused + _refused_refreshes(world)
    assert stats.presented_again <= excused, "a code or a refresh token was sent twice"
    assert stats.replays_refused == 0
    assert world.tenant.disagreements == ()
    # What a server spends before it demands a nonce is spent again with the nonce.
    assert world.spends or stats.refresh_reuse_detected == 0
    proofs = [json.loads(jws.extract_compact(r.proof.encode()).payload)["jti"] for r in _proven(world)]
    assert len(proofs) == len(set(proofs))


def _refused_refreshes(world: World) -> int:
    """Return how many refreshes the service refused: none of their refresh tokens is spent by that."""
    calls = [call for call in world.calls if call.verb in {"refresh", "renew", "twin", "api"}]
    ended = [call.task for call in calls if call.task.done() and not call.task.cancelled()]
    return sum(isinstance(task.exception(), OAuthError) for task in ended)


def _proven(world: World) -> list[Any]:
    return [request for request in world.tenant.requests if request.proof]


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
        _nothing_held(process)


def nothing_is_held(world: World) -> None:
    """Assert that nothing is left of any call once it has ended, while the processes go on."""
    for process in world.running:
        _nothing_held(process)


def _nothing_held(process: Process) -> None:
    client = process.client
    assert client._dispatcher.gate.in_flight == 0
    assert client._dispatcher.gate.waiting == 0
    assert not client._dispatcher._first_nonce.pending
    for flights in (client._logins._flights, client._refreshes._flights):
        assert not flights._flights
        assert not flights._last_in_queue
        assert not flights._handovers


def _nothing_lost(world: World) -> None:
    """Each login that the tenant let in is somebody's: or it is revoked, or somebody was told."""
    codes = _codes_by_key(world)
    given = {present(tokens.key).thumbprint for _, tokens in world.given}
    handed = {present(o.tokens.key).thumbprint for o in _orphans(world) if o.tokens is not None}
    named = {who for process in world.processes if process.report for who in process.report.exchanges}
    untold: list[Presented] = []
    for family in world.tenant.refresh_families:
        if family.revoked or family.thumbprint in given | handed:
            continue
        presented = codes[present(family.thumbprint)]
        knows = presented.is_answered or any(isinstance(result, TOLD) for result in presented.results)
        if not knows and presented.who not in named and not any(process.is_killed for process in presented.by):
            untold.append(presented)
    if world.setting.orphans == "keeps":
        handed_over = Counter(orphan.who for orphan in _orphans(world) if isinstance(orphan.error, TOLD))
        assert Counter(one.who for one in untold) <= handed_over, f"a login is lost: {untold}"
    else:
        events = sum((process.events for process in world.processes), Counter[Any]())
        # The tokens of a second factor stay, for a caller that asks again in time.
        told = events[Operation.EXCHANGE, False] + events[Operation.MFA, False] + events[Operation.MFA, True]
        assert len(untold) <= told, f"a login is lost: {untold}"


def _codes_by_key(world: World) -> dict[str, Presented]:
    keys: dict[str, Presented] = {}
    for request in _proven(world):
        if request.path == "/oauth/token" and request.body and "otp" in request.form and "username" in request.form:
            jwk = jws.extract_compact(request.proof.encode()).headers()["jwk"]
            presented = world.presented[Email(request.form["username"]), request.form["otp"]]
            assert presented is keys.setdefault(ECKey.import_key(jwk).thumbprint(), presented)
    return keys
