"""The second factor of a login: ``client.mfa``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from passwordless_async._common import arguments as _check
from passwordless_async._common import clock as _clock
from passwordless_async._common.secret import Secret, conceal, hide
from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.auth0.mfa import flow
from passwordless_async.auth0.mfa.endpoints import MFA_OOB_GRANT, MFA_OTP_GRANT, MFA_RECOVERY_GRANT
from passwordless_async.auth0.mfa.values import Authenticator, ChallengeType, MfaChallenge, OobChannel
from passwordless_async.client.mfa_arguments import code, each_of, oob_code, types_of
from passwordless_async.client.polling import MIN_INTERVAL, Poll, PollTimes
from passwordless_async.client.traffic import SingleFlight
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from passwordless_async.auth0.identity import AuthSession
    from passwordless_async.auth0.mfa.state import MfaState, MfaTokenSet
    from passwordless_async.auth0.mfa.values import Association
    from passwordless_async.auth0.tenant import Flow, Tenant
    from passwordless_async.client.traffic import Flight
    from passwordless_async.errors import PasswordlessError

    Orphaned = Callable[[Email | Phone | AuthSession | None, MfaTokenSet | PasswordlessError], Awaitable[None]]

T = TypeVar("T")

# Seconds for which a factor that was spent still gives what came of it: whoever was cancelled asks again and loses
# neither tokens nor recovery codes.
_LINGER = 30.0
_MAX_RECOVERY_CODE = 256  # characters; the service's have 24


class Run(Protocol):
    """Runs a flow to its end."""

    def __call__(
        self, make: Callable[[], Flow[T]], /, *, proven: bool = False, flight: Flight[Any] | None = None
    ) -> Awaitable[T]:
        """Run it.

        Args:
            make: Makes the flow, for each try anew.
            proven: Whether its requests carry proofs.
            flight: Learns what has left.
        """


class MfaClient:
    """Goes on with logins that need a second factor; a client has one, as ``client.mfa``.

    Each method takes the ``state`` of an :class:`~passwordless_async.MfaRequired`, or one that was unsealed. What it
    raises, in addition to what is said there:

    - ``UsageError``: an argument is not of its form; nothing was sent
    - ``InvalidMfaState``: the state is expired, or another tenant's or application's; nothing was sent
    - ``MfaTokenExpired``: the service says that the login is over
    - ``OAuthError``: the service refused for another reason
    - ``MalformedAnswer``: the answer is not what the protocol allows
    - ``NotSent``: nothing left this machine
    - ``OutcomeUnknown``: the request left and no usable answer came
    """

    def __init__(self, tenant: Tenant, *, run: Run, orphaned: Orphaned) -> None:
        self._tenant = tenant
        self._run = run
        self._poll_times = PollTimes()
        self._verifications: SingleFlight[tuple[Any, ...], MfaTokenSet] = SingleFlight(
            linger=_LINGER, orphaned=orphaned
        )
        self._associations: SingleFlight[tuple[Any, ...], Association] = SingleFlight(linger=_LINGER)

    async def authenticators(self, state: MfaState) -> tuple[Authenticator, ...]:
        """List the factors of the user, in the service's order."""
        state = hide(state)
        return await self._run(lambda: flow.authenticators(self._tenant, state))

    async def challenge(
        self,
        state: MfaState,
        *,
        authenticator: Authenticator | str | None = None,
        types: Sequence[ChallengeType] | None = None,
    ) -> MfaChallenge:
        """Have a code or a message sent to a factor.

        Args:
            state: The login.
            authenticator: Which factor, or its identifier; the service chooses unless given.
            types: The types that the application can handle; what the factor or the service's requirements say unless
                given.
        """
        state = hide(state)
        flow.own_state(self._tenant, state)
        named = authenticator.id if isinstance(authenticator, Authenticator) else authenticator
        if types is None:
            types = types_of(state, authenticator)
        kinds = each_of("types", types, ChallengeType)
        chosen = None if named is None else _check.text("authenticator", named, at_most=512)
        return await self._run(lambda: flow.challenge_factor(self._tenant, state, types=kinds, authenticator_id=chosen))

    async def verify_otp(self, state: MfaState, otp: str) -> MfaTokenSet:
        """Finish the login with the code of an authenticator app.

        Returns:
            The tokens, bound to the key that the login began with.

        Raises:
            WrongCode: The code is wrong or was used before.
            TooManyAttempts: Too many were wrong.
            MfaRequired: Another factor is needed; go on with the new state.
            NotSenderConstrained, InvalidIdToken: As for ``exchange``.
        """
        state, otp = hide(state), conceal(otp)
        return await self._verify(state, MFA_OTP_GRANT, otp=code("otp", otp, _check.MAX_CODE))

    async def verify_oob(
        self, state: MfaState, challenge: MfaChallenge, *, binding_code: str | None = None
    ) -> MfaTokenSet:
        """Finish the login with what was sent out of band: with the code in it, or by asking once for an approval.

        Args:
            state: The login.
            challenge: What was sent.
            binding_code: The code that the user typed, where the challenge prompts for one.

        Raises:
            AuthorizationPending: The user has not approved yet.
            AccessDenied: The user has denied it.
            CodeExpired: What was sent is too old.
            WrongCode, TooManyAttempts, MfaRequired: As for :meth:`verify_otp`.
        """
        state, challenge, binding_code = hide(state), hide(challenge), conceal(binding_code)
        handle = oob_code(challenge)
        if challenge.prompts and binding_code is None:
            raise UsageError("binding_code", "is needed: the challenge prompts the user for one")
        typed = None if binding_code is None else code("binding_code", binding_code, _check.MAX_CODE)
        return await self._verify(state, MFA_OOB_GRANT, oob_code=handle, binding_code=typed)

    async def poll_oob(
        self,
        state: MfaState,
        challenge: MfaChallenge,
        *,
        interval: float = MIN_INTERVAL,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = _clock.now,
    ) -> MfaTokenSet:
        """Wait until the user has approved a message on another device (RFC 8628 §3.5).

        It may be cancelled and begun again.

        Args:
            state: The login.
            challenge: What was sent; it must not prompt for a code.
            interval: Seconds between polls, five or more.
            sleep: Waits so many seconds.
            clock: Returns the time: seconds since the UNIX epoch.

        Raises:
            AccessDenied: The user has denied it.
            CodeExpired: The user has not answered in time.
            MfaRequired: As for :meth:`verify_otp`.
            TransportError: No answer came until the end; a poll that fails is repeated until then.
        """
        state, challenge = hide(state), hide(challenge)
        flow.own_state(self._tenant, state)
        oob_code(challenge)
        if challenge.prompts:
            raise UsageError("challenge", "prompts the user for a code: use verify_oob")
        deadline = min(challenge.expires_at, state.expires_at)
        poll = Poll(self._poll_times, state.mfa_token, deadline, clock, sleep)
        return await poll.run(lambda: self.verify_oob(state, challenge), interval=_check.seconds("interval", interval))

    async def verify_recovery_code(self, state: MfaState, recovery_code: str) -> tuple[MfaTokenSet, Secret | None]:
        """Finish the login with a recovery code, which is spent by it.

        Returns:
            The tokens, and the user's new recovery code: show it to the user. None where the service sent none. Where
            the answer is refused after all, the new code is the error's ``recovery_code``.

        Raises:
            WrongCode, TooManyAttempts, MfaRequired: As for :meth:`verify_otp`.
        """
        state, recovery_code = hide(state), conceal(recovery_code)
        typed = code("recovery_code", recovery_code, _MAX_RECOVERY_CODE)
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
        """Give the user a new factor; it counts once the login is finished with it.

        Args:
            state: The login.
            types: ``["otp"]`` for an authenticator app, ``["oob"]`` for the rest; what the others say unless given.
            channels: ``["sms"]``, ``["voice"]``, ``["email"]`` or, for push messages, ``["auth0"]``; unless given,
                SMS where there is a phone, e-mail where there is an address, push for ``oob`` without either.
            phone: Where to send codes.
            email: Where to send codes.

        Raises:
            AccessDenied: The user has a factor already and must bring that one.
        """
        state = hide(state)
        flow.own_state(self._tenant, state)
        if not isinstance(phone, Phone | None) or not isinstance(email, Email | None):
            raise UsageError("phone", "phone must be a Phone and email an Email")
        elsewhere = phone is not None or email is not None or channels is not None
        kinds = each_of("types", types or (("oob",) if elsewhere else ("otp",)), ChallengeType)
        if "oob" in kinds and channels is None:
            channels = ("sms",) if phone is not None else ("email",) if email is not None else ("auth0",)
        given = each_of("channels", channels, OobChannel) if channels is not None else ()

        def run(flight: Flight[Association]) -> Awaitable[Association]:
            return self._run(
                lambda: flow.associate(self._tenant, state, types=kinds, channels=given, phone=phone, email=email),
                flight=flight,
            )

        return await self._associations.run((state.mfa_token, state.jkt, kinds, given, phone, email), run)

    async def _verify(self, state: MfaState, grant_type: str, **fields: Secret | None) -> MfaTokenSet:
        flow.own_state(self._tenant, state)
        # By the key too: nobody gets tokens who has the mfa_token alone.
        factor = (grant_type, state.mfa_token, state.jkt, *fields.values())

        def run(flight: Flight[MfaTokenSet]) -> Awaitable[MfaTokenSet]:
            return self._run(lambda: flow.verify(self._tenant, state, grant_type, fields), proven=True, flight=flight)

        return await self._verifications.run(factor, run, about=state.who)

    async def aclose(self, *, grace: float = 0.0) -> int:
        """End what is under way, what has left after so many seconds, and forget what lingers.

        Returns:
            How many factors had left and were abandoned.
        """
        return len(await self._verifications.aclose(grace=grace)) + len(await self._associations.aclose(grace=grace))

    def __repr__(self) -> str:
        return f"<MfaClient {self._tenant.application.client_id} at {self._tenant.application.origin}>"
