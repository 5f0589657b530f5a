"""How a client behaves under load and in trouble: every number, with its unit and its reason, in named profiles.

Take the one that fits and change what must differ: ``attrs.evolve(INTERACTIVE, requests_per_second=25)``.
"""

from __future__ import annotations

from typing import Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async.errors import UsageError


def _whole(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    _check.positive(attribute.name, value)


def _seconds(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    _check.seconds(attribute.name, value)


def _none_or_more(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    _check.at_least_zero(attribute.name, value)


def _whole_or_none(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _whole(instance, attribute, value)


def _seconds_or_none(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _seconds(instance, attribute, value)


def _flag(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise UsageError(attribute.name, f"must be a bool, not {type(value).__name__}")


def _policy(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Policy):
        raise UsageError(attribute.name, f"must be a Policy, not {type(value).__name__}")


@attrs.frozen(kw_only=True)
class Policy:
    """How long one call goes on trying.

    A call is tried again only where that is safe: after a refusal that came before the request was processed (429), or
    when nothing left this machine; what only asks and spends nothing also after a failure of the server.

    Args:
        tries: How often the call is tried in all.
        patience: Seconds that the call may wait in all, for room in the quota, the end of a pause or its next try.
        backoff: Seconds before the second try at the most; the bound doubles with each further one, and the wait is
            a random part of it, so that those who failed together do not come back together.
        backoff_at_most: Seconds to which that bound grows.
        outlasts_outages: Whether the call waits while the circuit is open, as long as its patience allows; otherwise
            it fails at once.

    Raises:
        UsageError: An argument is not of its form.
    """

    tries: int = attrs.field(validator=_whole)
    patience: float = attrs.field(validator=_none_or_more)
    backoff: float = attrs.field(validator=_none_or_more)
    backoff_at_most: float = attrs.field(validator=_none_or_more)
    outlasts_outages: bool = attrs.field(validator=_flag)


@attrs.frozen(kw_only=True)
class Profile:
    """How a client behaves; lives as long as its client.

    Args:
        single: For the calls that a person waits for.
        many: For ``exchange_many`` and ``start_many``, whose callers bound the waiting by their ``concurrency``.
        timeout: Seconds for one transmission, from the connection to the end of the answer.
        max_in_flight: How many requests may be on the wire at once; more wait, before their proof is signed. With
            ``adaptive`` it is the upper bound.
        adaptive: Whether the number in flight follows what the server can take: one more with each round of answers,
            three tenths fewer when it is slow, refuses (429) or fails (503).
        requests_per_second: The tenant's quota, a nonce challenge and its answer counting as two; None: only what
            the server says of it counts.
        starts_per_hour: How many codes may be asked for on behalf of one ``forwarded_for`` address; None: any number.
        cool_down: Seconds after a start in which the same user is not sent another code, for a new one kills the
            first; 0: none.
        outage_after: Failures in a row, of whatever call, that open the circuit: from then on calls fail at once.
        outage_rest: Seconds until one call tries whether the outage is over; doubled each time it is not.
        outage_rest_at_most: Seconds to which that grows.
        grace: Seconds that a client which is closed gives to what has left and was not answered.

    Raises:
        UsageError: An argument is not of its form.
    """

    single: Policy = attrs.field(validator=_policy)
    many: Policy = attrs.field(validator=_policy)
    timeout: float = attrs.field(validator=_seconds)
    max_in_flight: int = attrs.field(validator=_whole)
    adaptive: bool = attrs.field(validator=_flag)
    requests_per_second: float | None = attrs.field(default=None, validator=_seconds_or_none)
    starts_per_hour: int | None = attrs.field(default=50, validator=_whole_or_none)
    cool_down: float = attrs.field(validator=_none_or_more)
    outage_after: int = attrs.field(validator=_whole)
    outage_rest: float = attrs.field(validator=_seconds)
    outage_rest_at_most: float = attrs.field(validator=_seconds)
    grace: float = attrs.field(validator=_none_or_more)


_PATIENT = Policy(
    tries=8,  # a refusal each, some seconds apart: more is a matter for the operator
    patience=600.0,  # seconds; codes live for three minutes, and who has thousands in flight waits for their turn
    backoff=0.5,  # seconds; nobody waits for this one login
    backoff_at_most=15.0,  # seconds; a tenth of a code's life, so that a login has several tries in it
    outlasts_outages=True,
)

INTERACTIVE = Profile(
    single=Policy(
        tries=3,  # a person does not wait for a fourth
        patience=5.0,  # seconds; half of what people wait before they reload the page
        backoff=0.2,  # seconds; a new connection and a little more
        backoff_at_most=1.0,  # seconds
        outlasts_outages=False,  # a person is told at once
    ),
    many=_PATIENT,
    timeout=10.0,  # seconds; Auth0's own gateways give up earlier
    max_in_flight=512,  # with answers in 200 ms, 2,500 a second: more than any public plan allows
    adaptive=True,
    cool_down=30.0,  # seconds; an e-mail's way, so that a second click does not kill the code that is on it
    outage_after=5,  # one lost packet or one bad node is no outage
    outage_rest=0.5,  # seconds; a restart of a proxy
    outage_rest_at_most=1.0,  # seconds; one connection a second burdens nobody, and when it is back that is seen
    grace=5.0,  # seconds; half the ten that orchestrators give a process before they kill it
)
"""A gateway with people waiting: few tries, soon told."""

BULK = attrs.evolve(
    INTERACTIVE,
    single=_PATIENT,
    timeout=30.0,  # seconds; a slow answer is better than a spent code of unknown fate
    grace=30.0,  # seconds; as long as the longest transmission
)
"""A migration or a job: nobody waits, everything is to succeed."""

_ONCE = Policy(tries=1, patience=5.0, backoff=0.0, backoff_at_most=0.0, outlasts_outages=False)

TESTING = attrs.evolve(
    INTERACTIVE,
    single=_ONCE,  # what goes wrong is seen by the test, and seen at once
    many=_ONCE,
    adaptive=False,  # the same in every run
    starts_per_hour=None,
    cool_down=0.0,  # the same users start again and again
    outage_after=1_000_000,  # faults are played on purpose
)
"""An application's tests: one try, no cool-down, no circuit."""
