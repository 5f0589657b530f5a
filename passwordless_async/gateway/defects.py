"""What no step foresees: a mistake in the application's own functions, or in ours."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from types import TracebackType

_log = logging.getLogger("passwordless_async")


@attrs.frozen
class Defects:
    """Ends exceptions with a line in the log: ``with Defects("GET /code"): …``.

    The line has the place, without the message, which may quote what the user typed.

    Args:
        name: What was being done.
    """

    name: str

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if kind is None or not issubclass(kind, Exception):
            return False
        where = traceback.extract_tb(at)[-1]
        _log.error("%s failed: %s in %s, line %s", self.name, kind.__name__, where.name, where.lineno)
        return True
