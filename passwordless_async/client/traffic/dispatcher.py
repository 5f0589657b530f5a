"""Runs flows: waits for their turn and pace, retries them, and emits the events.

A call goes through these methods of :class:`Dispatcher`, in this order. Those that only pass on return an awaitable
instead of being coroutines, which spares a frame for each login in flight.

1. ``run``, ``_observed``: where it begins, and the event of its end
2. ``_try``: one attempt after the other, until one succeeds or none may follow (``retries.py``)
3. ``_attempt``, ``_attempt_later``: is the client open, the circuit closed (``circuit.py``), the caller not limited
   (``caller_limits.py``)?
4. ``_go``, ``_pass_in_turn``: the wait for the first nonce (``first_nonce.py``)
5. ``_pass``: in and out of the gate (``gate.py``)
6. ``_drive``: the flow's requests and their responses, one after the other; nonce challenges
7. ``_send``, ``_share``, ``_fetch``: a request of its own, or one that several calls share
8. ``_transmit``: on the wire (``transport.py``), and what the response teaches (``feedback.py``)

Invariants:

- Nothing is signed before it may be sent: a call enters the gate first, and then its flow makes the proof.
- Only ``retries.py`` decides what may be sent again, and when.
- A call waits no longer than its policy's patience. A call that cannot be sent in time is refused at once.
- ``Departure.on_wire`` is true from the first byte of a request until the try fails, and stays true after a success:
  ending the call would lose what the response brings. A later request of the try that is not sent, or is challenged,
  changes neither it nor ``was_sent``.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.discovery import with_endpoints
from passwordless_async.auth0.tokens import TokenSet
from passwordless_async.client.events import (
    CANCELLED,
    Challenged,
    Done,
    Emitter,
    Operation,
    Paced,
    Retried,
    Sent,
    UnboundTokens,
)
from passwordless_async.client.traffic.caller_limits import CallerLimits
from passwordless_async.client.traffic.circuit import Breaker, Circuits
from passwordless_async.client.traffic.concurrency import AdaptiveLimit, FixedLimit
from passwordless_async.client.traffic.feedback import Feedback
from passwordless_async.client.traffic.first_nonce import FirstNonce, PeerNonces
from passwordless_async.client.traffic.gate import Gate
from passwordless_async.client.traffic.retries import PRIORITIES, retry_delay
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight
from passwordless_async.dpop.challenge import demands_nonce
from passwordless_async.errors import (
    CircuitOpen,
    ClientClosed,
    NotSent,
    PasswordlessError,
    QuotaExceeded,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from yarl import URL

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.client.profile import Policy, Profile
    from passwordless_async.client.traffic.circuit import Passage
    from passwordless_async.client.traffic.shared_pace import PeerQuota
    from passwordless_async.client.traffic.transport import Transport

T = TypeVar("T")

_REPORTED_WAIT_SECONDS = 0.001  # a shorter wait is the event loop's own
_CHALLENGE_STATUSES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED})


@attrs.frozen(repr=False)
class Call(Generic[T]):
    """One call of the client."""

    operation: Operation
    flow: Callable[[], Flow[T]]  # makes the flow, a new one for each try
    # Whether its requests carry DPoP proofs: then it waits for a first nonce that another call fetches.
    is_proven: bool = attrs.field(default=False, kw_only=True)
    policy: Policy | None = attrs.field(default=None, kw_only=True)  # None: the profile's for single calls
    # The caller for the service's limits, besides the tenant's: a user from an address, or an address. None: unknown.
    caller: Hashable = attrs.field(default=None, kw_only=True)
    # Whose call it is: the failures of one user count as one (``circuit.py``). None: unknown.
    user: Hashable = attrs.field(default=None, kw_only=True)
    channel: str = attrs.field(default="", kw_only=True)  # by which a message is sent: it may fail alone

    def __repr__(self) -> str:
        # The flow's closure holds codes and tokens.
        return f"<Call {self.operation}>"


@attrs.define(eq=False)
class _CallState:
    """What is known of one call while it runs."""

    call: Call[Any]
    policy: Policy
    departure: Departure
    began: float = attrs.field(factory=_clock.monotonic)
    tries: int = 0  # how often it passed the gate
    waited: float = 0.0  # seconds
    transmissions: int = 0
    paid: int = 0  # transmissions that the gate has counted
    before: tuple[bool, bool] = (False, False)  # on_wire and was_sent of the departure, before this transmission
    is_held: bool = False  # whether the last answer holds its caller, or all callers, back
    was_overtaken: bool = False  # whether the limit of its caller began while it waited for a slot
    circuit: Breaker | None = None  # that was open
    operation: Operation = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.operation = self.call.operation

    @property
    def patience(self) -> float:
        return max(self.policy.patience - self.waited, 0.0)

    def begins(self, request: HttpRequest) -> None:
        """Note that a transmission begins: it may end without a connection, and other requests may have been sent."""
        if not request.shareable:
            self.before = self.departure.on_wire, self.departure.was_sent

    def sends(self) -> None:
        """Note that bytes of a request may be sent from now on."""
        self.departure.on_wire = self.departure.was_sent = True

    def was_refused(self, request: HttpRequest) -> None:
        """Undo ``sends``: nothing was sent, or the server challenged, before it looked at what was sent."""
        if not request.shareable:
            self.departure.on_wire, self.departure.was_sent = self.before

    def failed(self, request: HttpRequest, error: PasswordlessError) -> None:
        """Note that a transmission failed."""
        if isinstance(error, NotSent):
            self.was_refused(request)


class Dispatcher:
    """Runs the flows of a client's calls; kept for the client's lifetime.

    ``peers`` are the nonces of other processes, ``peer_quota`` is the quota shared with them; None: not shared.
    """

    def __init__(
        self,
        tenant: Tenant,
        transport: Transport,
        profile: Profile,
        events: Emitter,
        *,
        peers: PeerNonces | None = None,
        peer_quota: PeerQuota | None = None,
    ) -> None:
        self._tenant = tenant
        self._transport = transport
        self._profile = profile
        self._events = events
        # No more than the pool has connections: a proof must not be signed and then wait for one.
        in_flight = min(profile.max_in_flight, transport.limit)
        limit = AdaptiveLimit(in_flight) if profile.adaptive else FixedLimit(in_flight)
        self.gate: Gate = Gate(limit, per_second=profile.requests_per_second, peers=peer_quota)
        self._circuits = Circuits(profile)
        self._callers = CallerLimits()
        self._feedback = Feedback(self.gate, self._callers)
        self._sleepers: set[asyncio.Future[None]] = set()
        self._peers = peers
        self._first_nonce = FirstNonce(tenant.nonces, tenant.application.origin, peers=peers)
        self._is_closing = False
        self._fetches: SingleFlight[tuple[URL, float], HttpResponse] = SingleFlight()

    def run(self, call: Call[T], departure: Departure | None = None) -> Awaitable[T]:
        """Run a call's flow to its end, and a new one if a retry is safe and may help.

        Updates ``departure``, which says what would be lost if the call were ended. Raises what the flow raises, and
        ``QuotaExceeded`` or ``CircuitOpen`` if nothing was sent.
        """
        self._transport.require_own_loop()
        policy = call.policy or self._profile.single
        state = _CallState(call, policy, departure or Departure())
        return self._observed(call, state) if self._events.is_wanted else self._try(call, state)

    async def _observed(self, call: Call[T], state: _CallState) -> T:
        """Do as :meth:`_try`, and emit how it ended."""
        try:
            result = await self._try(call, state)
        except PasswordlessError as error:
            self._emit_done(state, error.code)
            raise
        except asyncio.CancelledError:
            self._emit_done(state, CANCELLED)
            raise
        self._emit_done(state, None, result)
        return result

    def _emit_done(self, state: _CallState, error: str | None, result: object = None) -> None:
        if isinstance(result, TokenSet) and result.refresh_key is not None:
            self._events.emit(UnboundTokens(state.operation, result.audience))
        seconds = _clock.monotonic() - state.began
        self._events.emit(Done(state.operation, error, seconds, state.transmissions))

    def require_open(self) -> None:
        """Raise ``ClientClosed`` if the client is being closed: before a call leaves a mark in a store, for example."""
        if self._is_closing:
            raise ClientClosed

    async def _try(self, call: Call[T], state: _CallState) -> T:
        failure: PasswordlessError | None = None
        while True:
            try:
                return await self._attempt(with_endpoints(self._tenant, call.flow), state)
            except QuotaExceeded as error:
                if state.was_overtaken:
                    continue
                # If the server refused an earlier try, the caller gets that error.
                failure = failure or error.with_traceback(None)
                break
            except PasswordlessError as error:
                failure = error.with_traceback(None)
            state.departure.on_wire = False  # the outcome of the try is known
            if not await self._may_try_again(state, failure):
                break
        raise failure

    async def _may_try_again(self, state: _CallState, failure: PasswordlessError) -> bool:
        """Wait until a call may be tried again; False: it may not."""
        if self._is_closing or state.departure.is_abandoned:
            return False
        if isinstance(failure, CircuitOpen):
            # Nothing was tried, so it does not count as a try.
            return state.policy.outlasts_outages and await self._outlast(state)
        delay = retry_delay(state.operation, state.policy, state.tries, failure, is_held=state.is_held)
        if delay is None or delay > state.patience:
            return False
        self._events.emit(Retried(state.operation, state.tries, failure.code, delay))
        state.waited += delay
        await self._sleep(delay)
        return not self._is_closing

    async def _sleep(self, seconds: float) -> None:
        """Wait for ``seconds``, or until the client is closed."""
        if seconds <= 0:
            return
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            await asyncio.wait([sleeper], timeout=seconds)
        finally:
            self._sleepers.discard(sleeper)

    async def _outlast(self, state: _CallState) -> bool:
        """Wait for news of an outage; False: there were none in time."""
        if state.circuit is None:
            return False
        began = _clock.monotonic()
        try:
            async with asyncio.timeout(state.patience):
                await state.circuit.news()
        except TimeoutError:
            return False
        finally:
            state.waited += _clock.monotonic() - began
        return state.patience > 0 and not self._is_closing

    def _attempt(self, flow: Flow[T], state: _CallState) -> Awaitable[T]:
        """Refuse a call that cannot be sent now; otherwise, wait for what it must wait for, and drive its flow."""
        state.was_overtaken = False
        if state.operation is not Operation.REVOKE:
            self.require_open()
        self._require_closed_circuit(state)
        if self._callers.may_limit(state.call.caller):
            return self._attempt_later(flow, state)
        return self._go(flow, state)

    async def _attempt_later(self, flow: Flow[T], state: _CallState) -> T:
        await self._wait_for_caller(state)
        return await self._go(flow, state)

    def _go(self, flow: Flow[T], state: _CallState) -> Awaitable[T]:
        """Pass the gate, as the call that fetches the first nonce or after it."""
        is_proven = state.call.is_proven
        if is_proven and self._peers is not None:
            self._peers.poll()
        if not is_proven or self._first_nonce.over:
            return self._pass(flow, state, None)
        return self._pass_in_turn(flow, state)

    async def _pass_in_turn(self, flow: Flow[T], state: _CallState) -> T:
        """Do as :meth:`_pass`, once another call has fetched the first nonce, or as the call that fetches it."""
        before = state.transmissions
        # The turn comes before the gate: a call that holds a slot must not wait for another call's nonce.
        async with self._first_nonce.turn(lambda: state.transmissions > before) as answered:
            return await self._pass(flow, state, answered)

    def _require_closed_circuit(self, state: _CallState) -> None:
        """Refuse a call before it waits for anything, if its first request would be refused."""
        waits: dict[Breaker, float] = {}
        for circuit in self._circuits.first(state.operation, state.call.channel):
            left = circuit.retry_after
            if left is None:
                return
            waits[circuit] = left
        if waits:
            state.circuit = min(waits, key=waits.__getitem__)
            raise CircuitOpen(retry_after=waits[state.circuit])

    async def _wait_for_caller(self, state: _CallState) -> None:
        """Wait while the service's limit for the caller lasts."""
        now = asyncio.get_running_loop().time
        while (delay := self._callers.delay(state.call.caller, now())) > 0:
            if delay > state.patience:
                raise QuotaExceeded("the service takes no more from this user or address for now", retry_after=delay)
            await self._sleep(delay)
            self._note_wait(state, delay)
            if self._is_closing:
                raise NotSent("nothing was sent: the client was closed")

    async def _pass(self, flow: Flow[T], state: _CallState, answered: Callable[[int], None] | None) -> T:
        """Pass the gate, drive the flow, and leave the gate."""
        priority = PRIORITIES[state.operation]
        if waited := await self.gate.enter(priority, state.patience):
            self._note_wait(state, waited)
        if self._callers.delay(state.call.caller, asyncio.get_running_loop().time()) > 0:
            self.gate.refund()
            self.gate.leave(priority)
            state.was_overtaken = True
            raise QuotaExceeded("nothing was sent: meanwhile the service takes no more from this user or address")
        state.tries += 1
        state.paid = state.transmissions + 1
        try:
            if self._is_closing and state.operation is not Operation.REVOKE:
                raise NotSent("nothing was sent: the client was closed")
            return await self._drive(flow, state, answered)
        finally:
            flow.close()
            if state.transmissions < state.paid:
                self.gate.refund()
            self.gate.leave(priority)

    async def _drive(self, flow: Flow[T], state: _CallState, answered: Callable[[int], None] | None) -> T:
        """Send each request that the flow yields, and pass the response to the flow, until it returns."""
        try:
            request = next(flow)
            while True:
                try:
                    response = await self._send(request, state)
                except PasswordlessError as error:
                    failure = error.with_traceback(None)
                else:
                    if response.status in _CHALLENGE_STATUSES:
                        await self._before_answering_challenge(request, response, state)
                    request = _resumed(flow, request, response, answered)
                    continue
                request = flow.throw(failure)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _before_answering_challenge(
        self, request: HttpRequest, response: HttpResponse, state: _CallState
    ) -> None:
        """Wait for permission to answer a nonce challenge, before the answer is signed. Nothing was processed yet."""
        if demands_nonce(response, fresh=False):
            state.was_refused(request)
            self._events.emit(Challenged(state.operation))
            self._note_wait(state, await self.gate.again(state.patience))
            state.paid += 1

    def _note_wait(self, state: _CallState, seconds: float) -> None:
        state.waited += seconds
        if seconds > _REPORTED_WAIT_SECONDS:
            self._events.emit(Paced(state.operation, seconds))

    def _send(self, request: HttpRequest, state: _CallState) -> Awaitable[HttpResponse]:
        return self._share(request, state) if request.shareable else self._transmit(request, state)

    async def _share(self, request: HttpRequest, state: _CallState) -> HttpResponse:
        # By the delay too: a landed fetch is kept for its waiters, and the next of a search must not join it.
        key = (request.url, request.delay)
        return await self._fetches.run(key, lambda _departure: self._fetch(request, state))

    async def _fetch(self, request: HttpRequest, state: _CallState) -> HttpResponse:
        """Fetch the key set, and store it within the flight, for callers that come before its waiters resume."""
        outcome: HttpResponse | PasswordlessError | None = None
        try:
            if request.delay:
                await asyncio.sleep(request.delay)
            outcome = await self._transmit(request, state)
        except PasswordlessError as error:
            outcome = error
            raise
        finally:
            if request.url == self._tenant.application.jwks_url:
                self._tenant.keys.fetched(outcome)
        return outcome

    async def _transmit(self, request: HttpRequest, state: _CallState) -> HttpResponse:
        passage = None if request.shareable else self._check_circuit(request, state)
        state.begins(request)
        state.transmissions += 1
        if state.transmissions > state.paid:
            state.paid = state.transmissions
            self.gate.charge()
        began = _clock.monotonic()
        try:
            # A shared fetch is not lost with one of its callers.
            response = await self._transport.send(request, None if request.shareable else state.sends)
        except TransportError as error:
            failure = error.with_traceback(None)
            self._feedback.failed(state.operation, state.call.user, passage, failure)
        except asyncio.CancelledError:
            self._emit_sent(request, state, None, CANCELLED, began)
            raise
        else:
            seconds = _clock.monotonic() - began
            call = state.call
            state.is_held = self._feedback.answered(call.operation, call.caller, call.user, passage, response, seconds)
            self._emit_sent(request, state, response.status, None, began)
            return response
        finally:
            if passage is not None:
                passage.end()
        state.failed(request, failure)
        self._emit_sent(request, state, getattr(failure, "status", None), failure.code, began)
        raise failure

    def _check_circuit(self, request: HttpRequest, state: _CallState) -> Passage:
        first_of = None if state.transmissions else state.operation
        circuit = self._circuits.of(request.url, state.call.channel, first_of=first_of)
        try:
            return circuit.check()
        except CircuitOpen:
            state.circuit = circuit
            raise

    def _emit_sent(
        self, request: HttpRequest, state: _CallState, status: int | None, error: str | None, began: float
    ) -> None:
        if not self._events.is_wanted:
            return
        self._events.emit(
            Sent(
                operation=state.operation,
                method=request.method,
                origin=str(request.url.origin()),
                path=request.url.path,
                status=status,
                error=error,
                seconds=_clock.monotonic() - began,
                transmission=state.transmissions,
            )
        )

    def refuse_calls(self) -> None:
        """Refuse new calls but revocations, from now on."""
        self._is_closing = True

    async def drain(self, grace: float) -> int:
        """After :meth:`refuse_calls`, end the calls that wait, and return how many outlast ``grace`` seconds."""
        self._circuits.give_up()
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)
        return await self.gate.drain(grace)

    def reopen(self) -> None:
        """Accept calls again after closing, in this or another event loop; what was learned about the service stays."""
        self._is_closing = False
        self.gate.reopen()
        self._circuits.reopen()

    async def aclose(self) -> None:
        """End the fetches of keys and metadata."""
        self.gate.aclose()
        await self._fetches.aclose()


def _resumed(
    flow: Flow[T], request: HttpRequest, response: HttpResponse, answered: Callable[[int], None] | None
) -> HttpRequest:
    """Pass a flow its response. The flow takes the nonce first; only then may other calls learn that there is one."""
    try:
        return flow.send(response)
    finally:
        if answered is not None and not request.shareable:
            answered(response.status)
