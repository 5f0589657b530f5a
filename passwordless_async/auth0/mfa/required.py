"""The refusal that a second factor can answer; a leaf, so that reading it imports no flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passwordless_async.errors import OAuthError

if TYPE_CHECKING:
    from passwordless_async.auth0.mfa.state import MfaState


class MfaRequired(OAuthError):
    """The code was right and a second factor is asked for.

    Attributes:
        mfa_token: The secret that the MFA endpoints ask for.
        mfa_requirements: What the server accepts, as it said it.
        state: What ``client.mfa`` goes on with; None where the answer had no usable ``mfa_token``. It holds the
            private key, so it is left behind where the error is pickled: :meth:`MfaState.seal` is for that.
    """

    code = "mfa_required"
    advice = "Go on with client.mfa and the error's state."

    def __init__(
        self,
        *,
        status: int,
        error: str,
        error_description: str = "",
        mfa_token: str | None = None,
        mfa_requirements: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(status=status, error=error, error_description=error_description)
        self.mfa_token = mfa_token
        self.mfa_requirements = mfa_requirements or {}
        self.state: MfaState | None = None

    def __copy__(self) -> MfaRequired:
        restore, arguments = super().__reduce__()
        copied: MfaRequired = restore(*arguments)
        return copied

    def __deepcopy__(self, _memo: object) -> MfaRequired:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        restore, (kind, args, facts) = super().__reduce__()
        return restore, (kind, args, {**facts, "state": None})
