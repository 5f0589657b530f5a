"""The exception that carries a failed check to the verifier."""

from __future__ import annotations

from passwordless_async import PasswordlessError
from passwordless_async.dpop.server.failed_check import FailedCheck


def test_names_the_error_of_rfc_9449_by_default() -> None:
    """Most checks concern the proof, and so does the code (RFC 9449 §7.1)."""
    failed = FailedCheck("typ is not dpop+jwt")
    assert (str(failed), failed.description, failed.error) == (
        "typ is not dpop+jwt",
        "typ is not dpop+jwt",
        "invalid_dpop_proof",
    )
    assert FailedCheck("the access token is not ASCII", "invalid_token").error == "invalid_token"


def test_is_no_error_of_the_public_tree() -> None:
    """A handler of PasswordlessError never sees it: the verifier turns it into an error with a status."""
    assert not issubclass(FailedCheck, PasswordlessError)
