"""The second factor of a login: ``client.mfa``.

Invariants:

- A factor is verified once, however many callers ask at the same time: a code is spent by its first use.
- The result of a spent factor is kept for half a minute: a cancelled caller that calls again loses neither tokens nor
  recovery codes.
- Tokens are returned only to callers that have the login's key as well as its ``mfa_token``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from passwordless_async._common import arguments as _check
from passwordless_async._common import typed as _typed
from passwordless_async._common.secret import Secret, always_printable, conceal, hide
from passwordless_async.auth0.identity import AuthSession, Email, Phone, user_of
from passwordless_async.auth0.mfa import flow
from passwordless_async.auth0.mfa.endpoints import MFA_OOB_GRANT, MFA_OTP_GRANT, MFA_RECOVERY_GRANT
from passwordless_async.auth0.mfa.values import Association, Authenticator, ChallengeType, MfaChallenge, OobChannel
from passwordless_async.client.events import Operation
from passwordless_async.client.orphans import Orphans, orphan_of
from passwordless_async.client.polling import MIN_INTERVAL, Poll, PollTimes
from passwordless_async.client.traffic.dispatcher import Call, Dispatcher
from passwordless_async.client.traffic.single_flight import SingleFlight
from passwordless_async.errors import PasswordlessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from passwordless_async.auth0.mfa.state import MfaState, MfaTokenSet
    from passwordless_async.auth0.tenant import Flow, Tenant

T = TypeVar("T")

_KEEP_SECONDS = 30.0  # for which later callers still get the result of a spent factor
_MAX_RECOVERY_CODE = 256  # characters; the service's have 24
_MAX_AUTHENTICATOR = 512  # characters


@always_printable
class MfaClient:
    """Continues logins that need a second factor; a client has one, as ``client.mfa``.

    Each method takes the ``state`` of an :class:`~passwordless_async.MfaRequired`, or an unsealed one. Besides the
    errors that it documents, each raises:

    - ``UsageError``: an argument is invalid; nothing was sent
    - ``InvalidMfaState``: the state has expired, or belongs to another tenant or application; nothing was sent
    - ``MfaTokenExpired``: the service says that the login has expired
    - ``OAuthError``: the service refused for another reason
    - ``MalformedAnswer``: the response violates the protocol
    - ``NotSent``: nothing was sent
    - ``OutcomeUnknown``: the request was sent, but there was no usable response
    """

    def __init__(self, tenant: Tenant, dispatcher: Dispatcher, orphans: Orphans) -> None:
        self._tenant = tenant
        self._dispatcher = dispatcher
        self._orphans = orphans
        self._poll_times = PollTimes()
        self._verifications: SingleFlight[tuple[Any, ...], MfaTokenSet] = SingleFlight(
            keep=_KEEP_SECONDS, orphaned=self._orphaned
        )
        self._associations: SingleFlight[tuple[Any, ...], Association] = SingleFlight(keep=_KEEP_SECONDS)

    async def authenticators(self, state: MfaState) -> tuple[Authenticator, ...]:
        """List the user's factors, in the service's order.

        Args:
            state: The login.
        """
        state = hide(state)
        flow.own_state(self._tenant, state)
        return await self._dispatcher.run(_call(state, lambda: flow.authenticators(self._tenant, state)))

    async def challenge(
        self,
        state: MfaState,
        *,
        authenticator: Authenticator | str | None = None,
        types: Sequence[ChallengeType] | None = None,
    ) -> MfaChallenge:
        """Ask the service to send a code or a message to a factor.

        Args:
            state: The login.
            authenticator: The factor, or its identifier; by default, the service chooses.
            types: The types that the application can handle; by default, those of the factor or of the service's
                requirements.
        """
        state = hide(state)
        flow.own_state(self._tenant, state)
        named = authenticator.id if isinstance(authenticator, Authenticator) else authenticator
        kinds = _each_of("types", _types_of(state, authenticator) if types is None else types, ChallengeType)
        chosen = None if named is None else _check.text("authenticator", named, at_most=_MAX_AUTHENTICATOR)
        call = _call(state, lambda: flow.challenge_factor(self._tenant, state, types=kinds, authenticator_id=chosen))
        return await self._dispatcher.run(call)

    async def verify_otp(self, state: MfaState, otp: str) -> MfaTokenSet:
        """Finish the login with the code of an authenticator app.

        Args:
            state: The login.
            otp: The code that the user typed.

        Returns:
            The tokens, bound to the key of the login; they may be unbound unless ``dpop`` is ``required``.

        Raises:
            WrongCode: The code is wrong or was used before.
            TooManyAttempts: Too many codes were wrong.
            MfaRequired: Another factor is required; continue with the new state.
            NotSenderConstrained, SenderConstrained, InvalidIdToken: As for ``exchange``.
        """
        state, otp = hide(state), conceal(otp)
        return await self._verify(state, MFA_OTP_GRANT, otp=_typed.code("otp", otp, at_most=_check.MAX_CODE))

    async def verify_oob(
        self, state: MfaState, challenge: MfaChallenge, *, binding_code: str | None = None
    ) -> MfaTokenSet:
        """Finish the login out of band: with the code of a message, or by polling once for the user's approval.

        Args:
            state: The login.
            challenge: The result of :meth:`challenge`.
            binding_code: The code that the user typed, if the challenge prompts for one.

        Raises:
            AuthorizationPending: The user has not approved yet.
            AccessDenied: The user has denied it.
            CodeExpired: The message is too old.
            WrongCode, TooManyAttempts, MfaRequired: As for :meth:`verify_otp`.
        """
        state, challenge, binding_code = hide(state), hide(challenge), conceal(binding_code)
        handle = _oob_code(challenge)
        if challenge.prompts and binding_code is None:
            raise UsageError("binding_code", "is needed: the challenge prompts the user for one")
        typed = None if binding_code is None else _typed.code("binding_code", binding_code, at_most=_check.MAX_CODE)
        return await self._verify(state, MFA_OOB_GRANT, oob_code=handle, binding_code=typed)

    async def poll_oob(
        self,
        state: MfaState,
        challenge: MfaChallenge,
        *,
        interval: float = MIN_INTERVAL,
    ) -> MfaTokenSet:
        """Wait until the user has approved a message on another device (RFC 8628 §3.5).

        You may start it again after a cancellation.

        Args:
            state: The login.
            challenge: The result of :meth:`challenge`; it must not prompt for a code.
            interval: Seconds between polls, five or more.

        Raises:
            AccessDenied: The user has denied it.
            CodeExpired: The user has not answered in time.
            MfaRequired: As for :meth:`verify_otp`.
            TransportError: The last poll got no response; earlier failed polls are repeated.
        """
        state, challenge = hide(state), hide(challenge)
        flow.own_state(self._tenant, state)
        _oob_code(challenge)
        if challenge.prompts:
            raise UsageError("challenge", "prompts the user for a code: use verify_oob")
        deadline = min(challenge.expires_at, state.expires_at)
        poll = Poll(self._poll_times, state.mfa_token, deadline)
        return await poll.run(lambda: self.verify_oob(state, challenge), interval=_check.seconds("interval", interval))

    async def verify_recovery_code(self, state: MfaState, recovery_code: str) -> tuple[MfaTokenSet, Secret | None]:
        """Finish the login with a recovery code. This spends the code.

        Args:
            state: The login.
            recovery_code: The code that the user typed.

        Returns:
            The tokens, and the user's new recovery code, or None if the service sent none. Show it to the user. If the
            client refuses the tokens, the error has the new code as ``recovery_code``.

        Raises:
            WrongCode, TooManyAttempts, MfaRequired: As for :meth:`verify_otp`.
        """
        state, recovery_code = hide(state), conceal(recovery_code)
        typed = _typed.code("recovery_code", recovery_code, at_most=_MAX_RECOVERY_CODE)
        tokens = await self._verify(state, MFA_RECOVERY_GRANT, recovery_code=typed)
        return tokens, tokens.recovery_code

    async def associate(
        self,
        state: MfaState,
        *,
        types: Sequence[ChallengeType] | None = None,
        channels: Sequence[OobChannel] | None = None,
        phone: Phone | None = None,
        email: Email | None = None,
    ) -> Association:
        """Enrol a new factor; it becomes active when the login is finished with it.

        Args:
            state: The login.
            types: ``["otp"]`` for an authenticator app, ``["oob"]`` for the others; by default, what the other
                arguments imply.
            channels: ``["sms"]``, ``["voice"]``, ``["email"]`` or, for push messages, ``["auth0"]``. By default, SMS
                for a phone, e-mail for an address, push for ``oob`` without either.
            phone: Where to send codes.
            email: Where to send codes.

        Raises:
            AccessDenied: The user already has a factor and must use it.
        """
        state = hide(state)
        flow.own_state(self._tenant, state)
        if not isinstance(phone, Phone | None) or not isinstance(email, Email | None):
            raise UsageError("phone", "phone must be a Phone and email an Email")
        is_oob = any(given is not None for given in (phone, email, channels))
        kinds = _each_of("types", types or (("oob",) if is_oob else ("otp",)), ChallengeType)
        given = _channels(kinds, channels, phone, email)
        call = _call(
            state,
            lambda: flow.associate(self._tenant, state, types=kinds, channels=given, phone=phone, email=email),
        )
        return await self._associations.run(
            (state.mfa_token, state.jkt, kinds, given, phone, email),
            lambda departure: self._dispatcher.run(call, departure),
        )

    async def _verify(self, state: MfaState, grant_type: str, **fields: Secret | None) -> MfaTokenSet:
        flow.own_state(self._tenant, state)
        # The key is part of the identity: the mfa_token alone must not return tokens.
        factor = (grant_type, state.mfa_token, state.jkt, *fields.values())
        call = _call(
            state, lambda: flow.verify(self._tenant, state, grant_type, fields), is_proven=state.key is not None
        )
        return await self._verifications.run(
            factor, lambda departure: self._dispatcher.run(call, departure), detail=state.who
        )

    async def _orphaned(self, who: Email | Phone | AuthSession | None, result: MfaTokenSet | PasswordlessError) -> None:
        await self._orphans.take(Operation.MFA, orphan_of(result, who=who))

    async def aclose(self, *, grace: float) -> int:
        """Wait ``grace`` seconds for factors on the wire, cancel the rest; return the number of abandoned ones."""
        abandoned = await asyncio.gather(
            self._verifications.aclose(grace=grace),
            self._associations.aclose(grace=grace),
        )
        return sum(map(len, abandoned))

    def __repr__(self) -> str:
        return f"<MfaClient {self._tenant.application.client_id} at {self._tenant.application.origin}>"


def _call(state: MfaState, make: Callable[[], Flow[T]], *, is_proven: bool = False) -> Call[T]:
    user = state.mfa_token if state.who is None else user_of(state.who)
    return Call(Operation.MFA, make, is_proven=is_proven, user=user)


def _oob_code(challenge: MfaChallenge) -> Secret:
    """Return the handle of an out-of-band factor challenge."""
    _check.instance("challenge", challenge, MfaChallenge, named="an MfaChallenge")
    if challenge.oob_code is None:
        raise UsageError("challenge", "is not out of band: use verify_otp")
    return challenge.oob_code


def _types_of(state: MfaState, authenticator: Authenticator | str | None) -> Sequence[ChallengeType]:
    """Return the types to ask a factor challenge for, by the factor or by what the service said."""
    if isinstance(authenticator, Authenticator):
        kinds: Sequence[ChallengeType] = [k for k in get_args(ChallengeType) if k == authenticator.authenticator_type]
        if not kinds:
            raise UsageError("authenticator", "takes no challenge: use verify_recovery_code")
        return kinds
    return state.requirements.challenge_types if authenticator is None else ("otp", "oob")


def _channels(
    kinds: Sequence[ChallengeType], channels: Sequence[OobChannel] | None, phone: Phone | None, email: Email | None
) -> tuple[OobChannel, ...]:
    """Return the channels of a new factor: those that are given, or the ones that the other arguments imply."""
    if channels is not None:
        return _each_of("channels", channels, OobChannel)
    if "oob" not in kinds:
        return ()
    if phone is not None:
        return ("sms",)
    return ("email",) if email is not None else ("auth0",)


def _each_of(argument: str, given: object, allowed: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a Literal
    """Return a list of words of a ``Literal``, not empty."""
    names = get_args(allowed)
    if not isinstance(given, list | tuple) or not given or not all(each in names for each in given):
        raise UsageError(argument, f"must be a list of {', '.join(names)}")
    return tuple(given)
