"""The library's errors as one line."""

from __future__ import annotations

import click
import pytest

from passwordless_async.cli.terminal.failure import one_line, problem_of, renamed, sentence
from passwordless_async.errors import InvalidClient, NotSenderConstrained, NotSent, RateLimited, UsageError


def test_wrong_usage_names_the_option() -> None:
    """An argument of the library is called by its option; its name is not repeated in the message."""
    with pytest.raises(click.BadParameter) as refused, one_line():
        raise UsageError("address", "must not be empty")
    assert (refused.value.param_hint, refused.value.message, refused.value.exit_code) == (
        "--email",
        "must not be empty",
        2,
    )


def test_a_command_renames_arguments() -> None:
    """Where the same argument has another option, the command says which."""
    with pytest.raises(UsageError) as refused, renamed(address="--send-to"):
        raise UsageError("address", "must not be empty")
    assert (refused.value.argument, problem_of(refused.value)) == ("--send-to", "must not be empty")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (RateLimited(status=429, error="too_many_requests", retry_after=1.2), "Wait 2 s, then try again."),
        (RateLimited(status=429, error="too_many_requests"), "Wait a while, then try again."),
        (NotSent("no route"), NotSent.advice),
        (
            InvalidClient(status=401, error="invalid_client"),
            "Check --client-id, and --client-auth with its secret, key or certificate.",
        ),
        (
            NotSenderConstrained("not bound"),
            "Use --dpop preferred, or set the API's policy to DPoP; the tokens were discarded.",
        ),
    ],
)
def test_a_failure_is_a_sentence_and_advice(error: Exception, advice: str) -> None:
    """Status 1, and one line that ends with what to do, which names options, not arguments."""
    with pytest.raises(click.ClickException) as failed, one_line():
        raise error
    assert failed.value.message == f"{sentence(str(error))} {advice}"
    assert failed.value.exit_code == 1


def test_a_server_cannot_write_to_the_terminal() -> None:
    """A control character in a message is replaced."""
    with pytest.raises(click.ClickException) as failed, one_line():
        raise NotSent("\x1b[2J")
    assert "\x1b" not in failed.value.message


@pytest.mark.parametrize(("text", "expected"), [("no", "no."), ("no.", "no."), ("why?", "why?")])
def test_a_sentence_ends(text: str, expected: str) -> None:
    """A full stop is added where no mark ends the text."""
    assert sentence(text) == expected
