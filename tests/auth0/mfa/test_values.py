"""The values of the MFA API: requirements in either shape, and what a repr hides."""

from __future__ import annotations

from typing import Any, cast

import pytest

from passwordless_async import Association, Authenticator, MfaChallenge, MfaRequirements


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"challenge": [{"type": "otp"}, {"type": "oob"}], "enroll": [{"type": "sms"}]},
            (("otp", "oob"), ("sms",)),
        ),
        ({"challenge_types": ["otp", "oob"]}, (("otp", "oob"), ())),
        ({"challenge": [{"type": "otp"}, {"type": "otp"}]}, (("otp",), ())),
        ({"challenge": [{"type": 5}, {}, None, {"type": "a b"}, {"type": "otp"}]}, (("otp",), ())),
        ({"challenge": "otp", "enroll": {"type": "sms"}}, ((), ())),
        ({"challenge": [{"type": str(n)} for n in range(40)]}, (tuple(str(n) for n in range(32)), ())),
        (None, ((), ())),
        ([], ((), ())),
    ],
)
def test_requirements_are_read_in_either_shape(given: object, expected: tuple[tuple[str, ...], ...]) -> None:
    """Both shapes are read; anything else is ignored, because it must not end a login."""
    read = MfaRequirements.read(given)
    assert (read.challenge, read.enroll) == expected


@pytest.mark.parametrize(
    ("challenge", "expected"),
    [
        ((), ("otp", "oob")),
        (("otp",), ("otp",)),
        (("sms",), ("oob",)),
        (("push-notification", "otp"), ("otp", "oob")),
        (("recovery-code",), ("otp", "oob")),
    ],
)
def test_factors_give_the_types_of_challenges(challenge: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """All factors but ``otp`` and ``recovery-code`` are out of band; without a type both are requested."""
    assert MfaRequirements(challenge).challenge_types == expected


def test_secrets_of_factors_do_not_print() -> None:
    """Handles, shared secrets, recovery codes and masked addresses are redacted, also if they are plain texts."""
    handle, secret, uri, codes = cast("Any", ("handle", "base32", "otpauth://x", ("first", "second")))
    challenge = MfaChallenge("oob", handle, "prompt", 1)
    factor = Authenticator("id", "oob", active=True, name="+49…20")
    new = Association("otp", secret, uri, codes, None, challenge)
    shown = f"{challenge!r} {factor!r} {new!r}"
    assert [text for text in ("handle", "+49…20", "base32", "otpauth", "first", "second") if text in shown] == []
    assert "recovery_codes=<2 codes>" in shown
    assert (challenge.prompts, new.oob_code) == (True, "handle")
