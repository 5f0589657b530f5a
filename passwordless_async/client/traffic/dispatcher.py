"""How a flow gets on the wire: its turn, its pace, its tries, and the events that tell of them.

The promises: nothing is signed before it may go; a code goes again only after a refusal that came before it was looked
at (a nonce challenge, a 429) or where nothing left this machine; a call waits no longer than its policy says, and one
that will not be sent is refused before anything is.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.rate_limit import allowance, retry_after
from passwordless_async.auth0.refusals import blocks_user
from passwordless_async.client.events import CANCELLED, Challenged, Done, Operation, Paced, Retried, Sent
from passwordless_async.client.traffic import (
    AdaptiveLimit,
    Breaker,
    FirstNonce,
    FixedLimit,
    Gate,
    Priority,
    SingleFlight,
)
from passwordless_async.dpop.challenge import demands_nonce
from passwordless_async.errors import (
    CircuitOpen,
    NotSent,
    OutcomeUnknown,
    PasswordlessError,
    QuotaExceeded,
    RateLimited,
    TemporarilyUnavailable,
    TransportError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from yarl import URL

    from passwordless_async._common.http import HttpRequest, HttpResponse
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.client.events import Event, OnEvent
    from passwordless_async.client.profile import Policy, Profile
    from passwordless_async.client.traffic import Flight, Line, PeerNonces
    from passwordless_async.client.traffic.transport import Transport

T = TypeVar("T")

ABOUT_ONE_CALLER = 60.0  # seconds; what a 429, or a window, says of longer is about an address, not about all
_STARTS_PAUSE = 1.0  # seconds that starts wait after a 429 that does not say how long
_NOTICED = 0.001  # seconds; less is the event loop's own
_DOUBLINGS = 16  # of the backoff; it has its own bound, and numbers have theirs
_TOO_MANY_REQUESTS, _SERVER_ERROR, _NOT_IMPLEMENTED, _UNAVAILABLE = 429, 500, 501, 503
_CHALLENGES = frozenset({400, 401})
_PRIORITIES = {
    Operation.EXCHANGE: Priority.EXCHANGE,
    Operation.MFA: Priority.EXCHANGE,
    Operation.REFRESH: Priority.REFRESH,
    Operation.REVOKE: Priority.REFRESH,
    Operation.USERINFO: Priority.REFRESH,
    Operation.START: Priority.START,
}
# What may be tried again. A 5xx to a start is so only where it says that nothing was done (503): another message would
# cost money, and kill the code before it.
_RETRIED: dict[Operation, tuple[type[PasswordlessError], ...]] = {
    Operation.EXCHANGE: (NotSent, RateLimited),
    Operation.MFA: (NotSent,),
    Operation.REFRESH: (NotSent, RateLimited),
    Operation.REVOKE: (NotSent, RateLimited, TemporarilyUnavailable, OutcomeUnknown),
    Operation.USERINFO: (NotSent, RateLimited, TemporarilyUnavailable, OutcomeUnknown),
    Operation.START: (NotSent, RateLimited, TemporarilyUnavailable),
}
# Their windows are those of an address or a user, and not the tenant's.
_OTHER_WINDOWS = frozenset({Operation.MFA, Operation.START, Operation.USERINFO})
# These limits are a user's own: a 429 says nothing of the tenant's.
_LIMITED_BY_USER = frozenset({Operation.MFA, Operation.USERINFO})


@attrs.define(eq=False)
class _Call:
    """One call of a client on its way."""

    operation: Operation
    policy: Policy
    flight: Flight[Any] | None
    proven: bool
    began: float
    trials: int = 0
    waited: float = 0.0
    transmissions: int = 0
    paid: int = 0  # transmissions that the gate has let through
    had_left: bool = False  # anything, before the present transmission

    @property
    def patience(self) -> float:
        return max(self.policy.patience - self.waited, 0.0)

    def leaves(self, *, left: bool) -> None:
        """Note whether what is under way would be lost if the call were ended now."""
        if self.flight is not None:
            self.had_left = self.flight.ever_left
            self.flight.left = left
            self.flight.ever_left |= left

    def stayed(self) -> None:
        """Take back that something has left."""
        if self.flight is not None:
            self.flight.left, self.flight.ever_left = False, self.had_left


class Dispatcher:
    """Runs flows for all calls of a client; lives as long as it.

    Args:
        tenant: The tenant.
        transport: What sends.
        profile: How to behave under load and in trouble.
        on_event: Is told what happens.
        nonces: The tenant's nonces as far as other processes know them; None: there are none.
        line: The line of other processes that share the quota; None: there are none.
    """

    def __init__(
        self,
        tenant: Tenant,
        transport: Transport,
        profile: Profile,
        on_event: OnEvent | None,
        *,
        nonces: PeerNonces | None = None,
        line: Line | None = None,
    ) -> None:
        self._tenant = tenant
        self._transport = transport
        self._profile = profile
        self._on_event = on_event
        # No more than the pool has connections: a proof must not be signed and then wait for one.
        most = min(profile.max_in_flight, transport.limit)
        limit = AdaptiveLimit(most) if profile.adaptive else FixedLimit(most)
        self.gate = Gate(limit, per_second=profile.requests_per_second, line=line)
        self._breaker = Breaker(profile)
        self._nonces = nonces
        self._first_nonce = FirstNonce(tenant.nonces, tenant.application.origin, peers=nonces)
        self._closing = False
        self._fetches: SingleFlight[URL, HttpResponse] = SingleFlight()

    async def run(
        self,
        make: Callable[[], Flow[T]],
        operation: Operation,
        proven: bool = False,  # noqa: FBT001, FBT002 - with the rest of them in place, a partial needs no keywords
        policy: Policy | None = None,
        flight: Flight[T] | None = None,
    ) -> T:
        """Run a flow to its end, and another one like it where that is safe and of use.

        Args:
            make: Makes the flow, for each try anew.
            operation: What it is for.
            proven: Whether its requests carry proofs, and wait for a nonce that another one fetches.
            policy: How long to go on trying; that of single calls unless given.
            flight: Learns what has left.

        Raises:
            PasswordlessError: As the flow; :class:`QuotaExceeded` and :class:`CircuitOpen` where nothing was sent.
        """
        call = _Call(operation, policy or self._profile.single, flight, proven, _clock.monotonic())
        failure: PasswordlessError | None = None
        while True:
            try:
                result = await self._attempt(make(), call)
            except QuotaExceeded as error:
                # Where the server has said no before, that is what the caller should hear of.
                failure = failure or error.with_traceback(None)
                break
            except PasswordlessError as error:
                failure = error.with_traceback(None)
            except asyncio.CancelledError:
                self._end(call, CANCELLED)
                raise
            else:
                self._end(call, None)
                return result
            call.leaves(left=False)
            if not await self._may_try_again(call, failure):
                break
        self._end(call, failure.code)
        raise failure

    def _end(self, call: _Call, error: str | None) -> None:
        if self._on_event is not None:
            self.tell(Done(call.operation, error, _clock.monotonic() - call.began, call.transmissions))

    async def _may_try_again(self, call: _Call, failure: PasswordlessError) -> bool:
        """Wait until a call may be tried again; False: it may not."""
        if self._closing or (call.flight is not None and not call.flight.waiting):
            return False
        if isinstance(failure, CircuitOpen):
            # Nothing was tried, so it does not count as a try.
            return call.policy.outlasts_outages and await self._outlast(call)
        delay = self._delay(call, failure)
        if delay is None or delay > call.patience:
            return False
        self.tell(Retried(call.operation, call.trials, failure.code, delay))
        call.waited += delay
        await asyncio.sleep(delay)
        return not self._closing

    async def _outlast(self, call: _Call) -> bool:
        """Wait for news of an outage; False: there were none in time."""
        began = _clock.monotonic()
        try:
            async with asyncio.timeout(call.patience):
                await self._breaker.news()
        except TimeoutError:
            return False
        finally:
            call.waited += _clock.monotonic() - began
        return call.patience > 0 and not self._closing

    def _delay(self, call: _Call, failure: PasswordlessError) -> float | None:
        """Return how long to wait before the next try; None: there is none."""
        policy = call.policy
        if call.trials >= policy.tries or not isinstance(failure, _RETRIED[call.operation]):
            return None
        if isinstance(failure, TemporarilyUnavailable) and failure.status != _UNAVAILABLE:
            return None
        bound = min(policy.backoff * 2 ** min(call.trials - 1, _DOUBLINGS), policy.backoff_at_most)
        if isinstance(failure, RateLimited):
            if call.operation not in _LIMITED_BY_USER and (failure.retry_after or 0.0) <= ABOUT_ONE_CALLER:
                return 0.0  # the gate is closed until it is time
            return (failure.retry_after or 0.0) + random.uniform(0.0, bound)  # noqa: S311 - no secret
        return random.uniform(0.0, bound)  # noqa: S311

    async def _attempt(self, flow: Flow[T], call: _Call) -> T:
        if self._closing and call.operation is not Operation.REVOKE:
            raise UsageError("client", "is not open: use it inside async with")
        resting = self._breaker.retry_after
        if resting is not None:
            raise CircuitOpen(retry_after=resting)
        if call.proven and self._nonces is not None:
            self._nonces.poll()
        if not call.proven or self._first_nonce.over:
            return await self._pass(flow, call, None)
        # Behind the one who fetches the nonce first, and then through the gate: what has a slot is not kept waiting.
        async with self._first_nonce.turn() as answered:
            return await self._pass(flow, call, answered)

    def _note_wait(self, call: _Call, waited: float) -> None:
        call.waited += waited
        if waited > _NOTICED:
            self.tell(Paced(call.operation, waited))

    async def _pass(self, flow: Flow[T], call: _Call, answered: Callable[[int], None] | None) -> T:
        self._note_wait(call, await self.gate.enter(_PRIORITIES[call.operation], call.patience))
        call.trials += 1
        call.paid = call.transmissions + 1
        try:
            if self._closing and call.operation is not Operation.REVOKE:
                raise NotSent("nothing was sent: the client was closed")
            request = next(flow)
            while True:
                try:
                    response = await (
                        self._shared(request, call) if request.shareable else self._transmit(request, call)
                    )
                except PasswordlessError as error:
                    failure = error.with_traceback(None)
                else:
                    if response.status in _CHALLENGES:
                        await self._before_another(response, call)
                    request = _resumed(flow, request, response, answered)
                    continue
                request = flow.throw(failure)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            flow.close()
            if call.transmissions < call.paid:
                self.gate.refund()
            self.gate.leave()

    async def _before_another(self, response: HttpResponse, call: _Call) -> None:
        """Wait for leave to answer a challenge, before that is signed: what was challenged was not processed."""
        if demands_nonce(response, fresh=False):
            self.tell(Challenged(call.operation))
            self._note_wait(call, await self.gate.again(call.patience))
            call.paid += 1

    async def _shared(self, request: HttpRequest, call: _Call) -> HttpResponse:
        return await self._fetches.run(request.url, lambda _flight: self._fetch(request, call))

    async def _fetch(self, request: HttpRequest, call: _Call) -> HttpResponse:
        try:
            return await self._transmit(request, call)
        finally:
            # In the flight, not in those who wait for it: whoever comes between the two would start another flight.
            self._tenant.keys.search_ended()

    async def _transmit(self, request: HttpRequest, call: _Call) -> HttpResponse:
        probing = self._breaker.check()
        if not request.shareable:
            call.leaves(left=True)
        call.transmissions += 1
        if call.transmissions > call.paid:
            call.paid = call.transmissions
            self.gate.charge()
        began = _clock.monotonic()
        failure: PasswordlessError | None = None
        try:
            response = await self._transport.send(request)
        except UsageError:
            raise
        except PasswordlessError as error:
            failure = error.with_traceback(None)
        except asyncio.CancelledError:
            if probing:
                self._breaker.gave_up()
            self._tell_sent(request, call, None, CANCELLED, began)
            raise
        else:
            self._heed(call, request, response, _clock.monotonic() - began, probing=probing)
            self._tell_sent(request, call, response.status, None, began)
            return response
        self._miss(call, failure, probing=probing)
        self._tell_sent(request, call, getattr(failure, "status", None), failure.code, began)
        raise failure

    def _miss(self, call: _Call, failure: PasswordlessError, *, probing: bool) -> None:
        """Learn from a failure whether the server is up; an answer that cannot be believed is one."""
        if isinstance(failure, NotSent):
            call.stayed()
        if isinstance(failure, TransportError) or getattr(failure, "status", 0) >= _SERVER_ERROR:
            self._breaker.failed(probed=probing)
            self.gate.failed()
        else:
            self._breaker.answered()

    def _heed(
        self, call: _Call, request: HttpRequest, response: HttpResponse, seconds: float, *, probing: bool
    ) -> None:
        """Learn from an answer whether the server is up, and how much it can take."""
        if response.status >= _SERVER_ERROR and response.status != _NOT_IMPLEMENTED:
            self._breaker.failed(probed=probing)
            self.gate.failed()
            return
        self._breaker.answered()
        now = _clock.now()
        if response.status == _TOO_MANY_REQUESTS:
            if call.operation not in _LIMITED_BY_USER and not blocks_user(response):
                self._stop(call, retry_after(response.headers, now))
            return
        said = None if call.operation in _OTHER_WINDOWS or request.shareable else allowance(response.headers, now)
        self.gate.answered(seconds, None if said is not None and said.reset > ABOUT_ONE_CALLER else said)

    def _stop(self, call: _Call, seconds: float | None) -> None:
        """Hold back all whom a 429 is about."""
        if (seconds or 0.0) > ABOUT_ONE_CALLER:
            return
        if call.operation is Operation.START:
            self.gate.pause_starts(_STARTS_PAUSE if seconds is None else seconds)
        else:
            self.gate.refused(seconds, None)

    def _tell_sent(
        self, request: HttpRequest, call: _Call, status: int | None, error: str | None, began: float
    ) -> None:
        if self._on_event is not None:
            sent = Sent(
                operation=call.operation,
                method=request.method,
                origin=str(request.url.origin()),
                path=request.url.path,
                status=status,
                error=error,
                seconds=_clock.monotonic() - began,
                transmission=call.transmissions,
            )
            self.tell(sent)

    def tell(self, event: Event) -> None:
        """Give an event to whoever wants it; what goes wrong there is the event loop's to report, not the call's."""
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - a callback of the application's
            context = {"message": "on_event of a PasswordlessClient has failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def drain(self, grace: float) -> int:
        """Take no more calls but revocations, send away those that wait, and give the rest so many seconds.

        Returns:
            How many calls are in flight still.
        """
        self._closing = True
        self._breaker.give_up()
        return await self.gate.drain(grace)

    async def aclose(self) -> None:
        """End what is fetched for all."""
        self.gate.aclose()
        await self._fetches.aclose()


def _resumed(
    flow: Flow[T], request: HttpRequest, response: HttpResponse, answered: Callable[[int], None] | None
) -> HttpRequest:
    """Give a flow its answer: it takes the nonce first; then the others may know that there is one."""
    try:
        return flow.send(response)
    finally:
        if answered is not None and not request.shareable:
            answered(response.status)
