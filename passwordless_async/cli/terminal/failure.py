"""The library's errors as one line on a terminal: what happened, and what to do about it."""

from __future__ import annotations

import math
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from passwordless_async import errors
from passwordless_async.cli.terminal.show import plain
from passwordless_async.errors import PasswordlessError, RateLimited, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The name of an argument in the library, and the option that it came from.
_OPTIONS = {
    "address": "--email",
    "number": "--phone",
    "domain": "--domain",
    "client_id": "--client-id",
    "client_auth": "--client-auth",
    "client_secret": "the client secret",
    "scope": "--scope",
    "audience": "--audience",
    "otp": "the code",
    "pem": "--key",
    "password": "the password",
    "method": "--method",
    "url": "--url",
    "nonce": "--nonce",
    "access_token": "--access-token-file",
}

# The advice that names arguments of the library, with the options that they came from.
_ADVICE: Mapping[type[PasswordlessError], str] = {
    errors.InvalidClient: "Check --client-id, and --client-auth with its secret, key or certificate.",
    errors.InvalidTarget: "Check --audience: it must be the identifier of an API that the application may use.",
    errors.InvalidIdToken: "Check --domain and --client-id; the tokens were discarded.",
    errors.VerificationRequired: "The tenant demands a captcha, which needs a browser: log in with your application.",
    errors.DPoPRequired: "Use --dpop preferred or required: the API's policy requires a proof.",
    errors.SenderConstrained: "Use --dpop preferred or required: the API's tokens are bound; these were discarded.",
    errors.NotSenderConstrained: "Use --dpop preferred, or set the API's policy to DPoP; the tokens were discarded.",
}


@contextmanager
def one_line() -> Iterator[None]:
    """Turn the library's errors into click's: status 2 for wrong usage, 1 for everything else."""
    try:
        yield
    except UsageError as error:
        hint = _OPTIONS.get(error.argument, error.argument)
        raise click.BadParameter(
            problem_of(error), ctx=click.get_current_context(silent=True), param_hint=hint
        ) from None
    except PasswordlessError as error:
        raise click.ClickException(f"{sentence(plain(str(error)))} {_advice(error)}") from None


@contextmanager
def renamed(**options: str) -> Iterator[None]:
    """Name the options that arguments came from, for a command with other options than most."""
    try:
        yield
    except UsageError as error:
        raise UsageError(options.get(error.argument, error.argument), problem_of(error)) from None


def cannot_listen(at: str, error: OSError | UnicodeError) -> str:
    """Return the sentence that an address cannot be listened on, and why; it begins with a verb."""
    if isinstance(error, socket.gaierror | UnicodeError):  # UnicodeError: a label of the name is empty or too long
        reason = "the host is unknown"
    else:
        # Not strerror: socket.create_server() repeats the address in it.
        reason = str(error) if error.errno is None else os.strerror(error.errno)
    return f"cannot listen on {plain(at)}: {reason}."


def problem_of(error: UsageError) -> str:
    """Return the message of an error without the argument's name."""
    return str(error).removeprefix(f"{error.argument}: ")


def sentence(text: str) -> str:
    """Return a message with a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _advice(error: PasswordlessError) -> str:
    if isinstance(error, RateLimited):
        wait = "a while" if error.retry_after is None else f"{math.ceil(error.retry_after)} s"
        return f"Wait {wait}, then try again."
    return advice_by_options(error)


def advice_by_options(error: PasswordlessError) -> str:
    """Return the advice about an error, with options in place of the library's arguments."""
    return error.advice if is_particular(error) else _ADVICE.get(type(error), error.advice)


def is_particular(error: PasswordlessError) -> bool:
    """Return whether an error's advice is for this case, not for all of its kind."""
    return error.advice != type(error).advice
