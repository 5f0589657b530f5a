"""Requests between prompts: each request has its own event loop, and each prompt is shown outside of one.

Inside an event loop, Ctrl-C at a question would wait until the answer is typed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from passwordless_async.cli.terminal import interrupt
from passwordless_async.cli.terminal.failure import problem_of, sentence
from passwordless_async.cli.terminal.questions import ask
from passwordless_async.errors import CodeSpent, InvalidInput, WrongCode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from passwordless_async._common.secret import Secret
    from passwordless_async.client.client import PasswordlessClient

T = TypeVar("T")


@attrs.frozen
class Caller:
    """Makes requests as a client; the clients share a store, which counts the attempts at a code."""

    _client: Callable[[], PasswordlessClient]

    def run(self, call: Callable[[PasswordlessClient], Awaitable[T]]) -> T:
        """Open a client, make a request, and return its result."""
        return interrupt.run(self._run(call))

    async def _run(self, call: Callable[[PasswordlessClient], Awaitable[T]]) -> T:
        async with self._client() as client:
            return await call(client)


def until_right(question: str, attempt: Callable[[Secret], T]) -> T:
    """Ask for a code and try it; ask again while it is wrong and the service takes another.

    Raises:
        WrongCode, CodeSpent: The code has no attempts left.
        click.ClickException: The person typed an empty line to give up.
    """
    while True:
        try:
            return attempt(ask(question))
        except WrongCode as error:
            if error.attempts_left == 0:
                raise
            left = "" if error.attempts_left is None else f" Attempts left: {error.attempts_left}."
            problem = f"Wrong code.{left}"
        except CodeSpent as error:
            if error.attempts_left == 0:
                raise
            problem = "That code was tried before."
        except InvalidInput as error:
            problem = sentence(f"That is not a code: it {problem_of(error)}")
        question = f"{problem} Code: "
