"""Checks of what callers pass to ``client.mfa``: the value, or :class:`UsageError` naming the argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from passwordless_async._common import arguments as _check
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.mfa.values import Authenticator, ChallengeType, MfaChallenge
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from passwordless_async.auth0.mfa.state import MfaState


def code(argument: str, value: str, at_most: int) -> Secret:
    """Return a code that a user typed: visible ASCII."""
    return Secret(_check.text(argument, value, at_most=at_most))


def oob_code(challenge: MfaChallenge) -> Secret:
    """Return the handle of what was sent out of band."""
    if not isinstance(challenge, MfaChallenge):
        raise UsageError("challenge", f"must be an MfaChallenge, not {type(challenge).__name__}")
    if challenge.oob_code is None:
        raise UsageError("challenge", "is not out of band: use verify_otp")
    return challenge.oob_code


def types_of(state: MfaState, authenticator: Authenticator | str | None) -> Sequence[ChallengeType]:
    """Return what to ask a challenge for, by the factor or by what the service said."""
    if isinstance(authenticator, Authenticator):
        kinds: Sequence[ChallengeType] = [k for k in get_args(ChallengeType) if k == authenticator.authenticator_type]
        if not kinds:
            raise UsageError("authenticator", "takes no challenge: use verify_recovery_code")
        return kinds
    return state.requirements.challenge_types if authenticator is None else ("otp", "oob")


def each_of(argument: str, given: object, allowed: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a Literal
    """Return a list of words of a ``Literal``, not empty."""
    names = get_args(allowed)
    if isinstance(given, str) or not isinstance(given, list | tuple) or not given or not set(given) <= set(names):
        raise UsageError(argument, f"must be a list of {', '.join(names)}")
    return tuple(given)
