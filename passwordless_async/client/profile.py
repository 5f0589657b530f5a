"""How a client behaves under load and during outages: every number, with its unit and its reason, in named profiles.

Take the profile that fits and change what must differ: ``attrs.evolve(INTERACTIVE, requests_per_second=25)``.
"""

from __future__ import annotations

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async._common.user_address import IpAddress, user_address
from passwordless_async._common.validators import checked_by, of_kind, seconds, seconds_or_none, whole, whole_or_none
from passwordless_async.errors import UsageError


def _check_share(argument: str, value: object) -> None:
    if _check.seconds(argument, value) > 1:
        raise UsageError(argument, "must be at most 1")


_share = checked_by(_check_share)
_none_or_more = checked_by(_check.at_least_zero)
_flag = of_kind(bool)


@attrs.frozen(kw_only=True)
class Policy:
    """How long one call is retried.

    A call is retried only if that is safe: after a 429, which the server sends before it processes the request, or if
    nothing was sent. A call that spends nothing is also retried after a server error.

    Args:
        tries: The number of tries, including the first.
        patience: Seconds that the call may wait in total: for the quota, the end of a pause, or its next try.
        backoff: The longest wait before the second try, in seconds. It doubles with each further try; the wait is a
            random part of it, so that calls that failed at the same time are not retried at the same time.
        backoff_at_most: The maximum of that wait, in seconds.
        outlasts_outages: Whether the call waits while the circuit is open, within its patience; otherwise it fails at
            once.

    Raises:
        UsageError: An argument is invalid.
    """

    tries: int = attrs.field(validator=whole)
    patience: float = attrs.field(validator=_none_or_more)
    backoff: float = attrs.field(validator=_none_or_more)
    backoff_at_most: float = attrs.field(validator=_none_or_more)
    outlasts_outages: bool = attrs.field(validator=_flag)


@attrs.frozen(kw_only=True)
class Profile:
    """How a client behaves.

    Args:
        single: The policy of single calls.
        many: The policy of ``exchange_many`` and ``start_many``: their ``concurrency`` bounds the waiting.
        timeout: Seconds for one transmission, from the connection to the end of the response.
        max_in_flight: How many calls may be in flight; others wait before their proof is signed. With ``adaptive``, it
            is the upper limit.
        adaptive: Whether the number in flight adapts to the server: one more with each round of responses, 30 % fewer
            if the server is slow, refuses (429) or fails (503).
        requests_per_second: The tenant's quota; a nonce challenge and its answer count as two. None: the client follows
            only the server's responses.
        starts_per_hour: How many codes may be requested on behalf of one ``forwarded_for`` address; None: any number.
        allow_private_addresses: Whether ``forwarded_for`` may be a private address (RFC 1918, RFC 4193, RFC 6598): for
            users in your own network. Otherwise it is the address of a proxy, and all users would share its limits.
        cool_down: Seconds after a start in which the same user cannot get another code, because a new code invalidates
            the first; 0: none.
        outage_after: Number of failures at an endpoint within ``outage_window`` that opens its circuit, if
            ``outage_ratio`` is reached too: then calls to it fail at once. All failures of one user count as one,
            because they may be about that user: with fewer users, time-outs open no circuit. Each connection that
            cannot be made counts.
        outage_ratio: The share of these failures among them and the answered calls that opens a circuit, above 0 and
            at most 1.
        outage_window: Seconds after which a failure is forgotten.
        outage_rest: Seconds until one call probes the server; doubled each time that call fails.
        outage_rest_at_most: The maximum of that rest, in seconds, and the time after which another call probes the
            server if the first one hangs.
        grace: Seconds that ``aclose`` gives to the requests on the wire.

    Raises:
        UsageError: An argument is invalid.
    """

    single: Policy = attrs.field(validator=of_kind(Policy))
    many: Policy = attrs.field(validator=of_kind(Policy))
    timeout: float = attrs.field(validator=seconds)
    max_in_flight: int = attrs.field(validator=whole)
    adaptive: bool = attrs.field(validator=_flag)
    # No number is right for every plan: until you set yours, what the service says is followed.
    requests_per_second: float | None = attrs.field(default=None, validator=seconds_or_none)
    # Auth0's own limit for an address: a start beyond it would be refused there.
    starts_per_hour: int | None = attrs.field(default=50, validator=whole_or_none)
    # A wrong setting for proxies shows at the first login, not as one limit for all users.
    allow_private_addresses: bool = attrs.field(default=False, validator=_flag)
    cool_down: float = attrs.field(validator=_none_or_more)
    outage_after: int = attrs.field(validator=whole)
    # Half: while the server answers most calls, what fails is about some callers.
    outage_ratio: float = attrs.field(default=0.5, validator=_share)
    # The time-out of a transmission: calls that hang add up, and an hour that went well does not hide an outage.
    outage_window: float = attrs.field(default=10.0, validator=seconds)
    outage_rest: float = attrs.field(validator=seconds)
    outage_rest_at_most: float = attrs.field(validator=seconds)
    grace: float = attrs.field(validator=_none_or_more)

    def user_address(self, forwarded_for: object) -> IpAddress | None:
        """Return a user's address in canonical form; one that cannot be a user's raises :class:`UsageError`."""
        if forwarded_for is None:
            return None
        return user_address("forwarded_for", forwarded_for, allow_private=self.allow_private_addresses)


_PATIENT = Policy(
    tries=8,  # a refusal each, some seconds apart: more is a problem for the operator
    patience=600.0,  # seconds; codes expire after three minutes, but starts of a large batch wait longer
    backoff=0.5,  # seconds; no person waits for this login
    backoff_at_most=15.0,  # seconds; a tenth of a code's lifetime, so that a login has several tries in it
    outlasts_outages=True,
)

INTERACTIVE = Profile(
    single=Policy(
        tries=3,  # a person does not wait for a fourth
        patience=5.0,  # seconds; half the time after which people reload a page
        backoff=0.2,  # seconds; the time of a new connection, and a little more
        backoff_at_most=1.0,  # seconds
        outlasts_outages=False,  # a person sees the failure at once
    ),
    many=_PATIENT,
    timeout=10.0,  # seconds; Auth0's own gateways give up earlier
    max_in_flight=512,  # with responses in 200 ms, 2,500 a second: more than any public plan allows
    adaptive=True,  # no fixed number fits a slow hour and a fast one
    cool_down=30.0,  # seconds; the delivery of an e-mail: a second click must not invalidate the code in it
    outage_after=5,  # users; one lost packet, one bad node or one user's mailbox is no outage
    outage_rest=0.5,  # seconds; a restart of a proxy
    outage_rest_at_most=1.0,  # seconds; one connection a second is no burden, and the end of an outage is seen soon
    grace=5.0,  # seconds; half the ten that orchestrators give a process before they kill it
)
"""A gateway with people waiting: few tries, and a failure is reported soon."""

BULK = attrs.evolve(
    INTERACTIVE,
    single=_PATIENT,
    timeout=30.0,  # seconds; a slow response is better than a code that may be spent
    grace=30.0,  # seconds; as long as the longest transmission
)
"""A migration or a job: no person waits, and every login should succeed."""

_ONCE = Policy(tries=1, patience=5.0, backoff=0.0, backoff_at_most=0.0, outlasts_outages=False)

TESTING = attrs.evolve(
    INTERACTIVE,
    single=_ONCE,  # a test sees each failure, and at once
    many=_ONCE,
    adaptive=False,  # the same in every run
    starts_per_hour=None,
    cool_down=0.0,  # the same users start again and again
    outage_after=1_000_000,  # tests cause failures on purpose
)
"""An application's tests: one try, no cool-down, no circuit."""
