"""How an application authenticates itself."""

from __future__ import annotations

import attrs
import pytest

from passwordless_async import ClientAuth, ClientSecretPost, NoClientAuth, UsageError
from passwordless_async._secret import Secret


def test_a_public_client_sends_nothing():
    """RFC 6749 §2.1: a public client has no secret to send."""
    assert (False, {}) == (NoClientAuth().confidential, NoClientAuth().parameters())


def test_a_secret_goes_in_the_body():
    """RFC 6749 §2.3.1: client_secret_post sends the secret as a parameter, and it prints redacted."""
    auth = ClientSecretPost("s3cret~!")
    assert (True, {"client_secret": "s3cret~!"}) == (auth.confidential, auth.parameters())
    assert "ClientSecretPost(secret=<redacted>)" == repr(auth)
    assert isinstance(auth.parameters()["client_secret"], Secret)


@pytest.mark.parametrize("auth", [NoClientAuth(), ClientSecretPost("s")])
def test_both_are_ways_to_authenticate(auth: ClientAuth):
    """Each way is a ClientAuth, frozen and equal by value."""
    assert isinstance(auth, ClientAuth)
    assert attrs.evolve(auth) == auth
    with pytest.raises(AttributeError):
        auth.confidential = True


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "must not be empty"),
        (None, "must be a str, not NoneType"),
        (b"secret", "must be a str, not bytes"),
        (12345, "must be a str, not int"),
        ("a b", "must be visible ASCII characters, without spaces"),
        ("secret\n", "must be visible ASCII characters, without spaces"),
        ("sécret", "must be visible ASCII characters, without spaces"),
        ("s" * 4097, "must be at most 4096 characters long, not 4097"),
    ],
)
def test_secrets_refused(secret: object, problem: str):
    """What no client secret can be, such as one read from a file with its line's end, is refused."""
    with pytest.raises(UsageError) as refused:
        ClientSecretPost(secret)
    assert ("client_secret", f"client_secret: {problem}") == (refused.value.argument, str(refused.value))
