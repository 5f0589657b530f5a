"""How a login begins: messages and the codes in them."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen(kw_only=True, slots=False)
class LoginSettings:
    """Start, and the rules of a code.

    Args:
        grant_enabled: Whether the applications may use the passwordless OTP grant (else 403 ``unauthorized_client``).
        redirect_uri_required: Whether the OTP grant insists on ``redirect_uri`` (documented, not observed).
        allow_signup: Whether a code is sent to a user whom the tenant does not know.
        start_error_shape: The members of start's error bodies: ``error`` + ``error_description``, ``code`` +
            ``description`` or ``errorCode`` + ``message``.
        start_answer: What start says on success: the ``full`` 200 body, 200 ``{}`` (``empty``), 201 (``created``) or
            204 (``no_content``); all occur.

        code_length: Digits of a code (Auth0: 6).
        code_lifetime: Seconds that a code lives (Auth0: 3 minutes).
        max_attempts: Failures that kill a code (Auth0: 3).

        callback_urls: Where a link may lead; the first is taken where a start names none.
        authorization_code_lifetime: Seconds.
        database_connections: The connections whose users ``/otp/challenge`` sends codes to.
        captcha: What solves the captcha; None: start asks for none, otherwise it refuses with 401
            ``requires_verification`` until it is given.
        failures_before_block: Wrong codes of a user in a row after which every login is refused with 429
            ``too_many_attempts`` (Auth0: 10), until ``tenant.users.unblock(who)``; None: off.
    """

    grant_enabled: bool = True
    redirect_uri_required: bool = False
    allow_signup: bool = True
    start_error_shape: Literal["error", "code", "errorCode"] = "error"
    start_answer: Literal["full", "empty", "created", "no_content"] = "full"

    code_length: int = 6
    code_lifetime: float = 180.0
    max_attempts: int = 3

    callback_urls: tuple[str, ...] = attrs.field(default=("https://app.example/callback",), converter=tuple)
    authorization_code_lifetime: float = 60.0
    database_connections: tuple[str, ...] = attrs.field(default=("Username-Password-Authentication",), converter=tuple)
    captcha: str | None = None
    failures_before_block: int | None = None
