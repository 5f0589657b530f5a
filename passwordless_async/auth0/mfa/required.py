"""``mfa_required``: the service refuses a grant until a second factor is verified. A leaf: it imports no flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async.errors import OAuthError

if TYPE_CHECKING:
    from passwordless_async.auth0.mfa.state import MfaState


class MfaRequired(OAuthError, code="mfa_required", advice="Continue with client.mfa and the error's state."):
    """The code was right and a second factor is required.

    Attributes:
        mfa_token: The token of the MFA endpoints; a secret.
        mfa_requirements: The factors that the server accepts, as it sent them.
        state: What ``client.mfa`` continues with; None if the response had no usable ``mfa_token``. It holds the
            private key, so a pickle of the error leaves it out: use :meth:`MfaState.seal`.
        recovery_code: The user's new recovery code, if the old one was used and another factor is required: show it to
            the user. None otherwise.
    """

    recovery_code: str | None = None

    def __init__(
        self,
        *,
        status: int,
        error: str,
        error_description: str = "",
        mfa_token: str | None = None,
        mfa_requirements: dict[str, Any] | None = None,
        state: MfaState | None = None,
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.mfa_token = mfa_token
        self.mfa_requirements = mfa_requirements or {}
        self.state = state

    def __copy__(self) -> MfaRequired:
        return self.with_facts()

    def __deepcopy__(self, _memo: object) -> MfaRequired:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (kind, args, facts) = super().__reduce__()
        return restore, (kind, args, {**facts, "state": None})
