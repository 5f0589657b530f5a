"""What of an error may get into a log or an error tracker, and which lines of that a secret shows in.

What is looked at is what they look at: repr, str, attributes, and tracebacks with their locals, for every frame of the
package and every error that an error came of.
"""

from __future__ import annotations

import traceback
from collections import UserDict, UserString
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING

import passwordless_async

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

PACKAGE = str(Path(passwordless_async.__file__).parent)


def links(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it came of, each once."""
    waiting, known = [error], {id(error)}
    while waiting:
        link = waiting.pop()
        yield link
        for before in (link.__cause__, link.__context__):
            if before is not None and id(before) not in known:
                known.add(id(before))
                waiting.append(before)


def in_shapes(secret: str) -> dict[str, object]:
    """Return the shapes in which a secret may be passed by mistake, by name."""
    return {
        "text": secret,
        "bytes": secret.encode(),
        "a list": [secret],
        "a mapping": {"access_token": secret},
        "a tuple": (secret,),
        "a cookie": SimpleCookie({"session": secret})["session"],
        "a text of another class": UserString(secret),
        "a mapping of another class": UserDict(access_token=secret),
    }


def shown(error: BaseException) -> str:
    """Return everything of an error that can get into a log: of the frames, those of the package."""
    parts = []
    for link in links(error):
        printed = traceback.TracebackException.from_exception(link, capture_locals=True)
        ours = [frame for frame in printed.stack if _is_ours(frame.filename)]
        printed.stack = traceback.StackSummary.from_list(ours)
        parts += [repr(link), str(link), repr(link.args), repr(vars(link)), *printed.format(chain=False)]
        parts += [f"{name}={value}" for frame in ours for name, value in (frame.locals or {}).items()]
    return "\n".join(parts)


def _is_ours(filename: str) -> bool:
    # What attrs writes for a class is in no file: "<attrs generated methods passwordless_async.auth0.identity.Email>".
    return filename.startswith(PACKAGE) or (filename.startswith("<") and "passwordless_async" in filename)


def lines_with(secrets: Collection[str], text: str) -> list[str]:
    """Return the lines of a text that one of the secrets shows in."""
    return [line for line in text.splitlines() if any(secret in line for secret in secrets)]
