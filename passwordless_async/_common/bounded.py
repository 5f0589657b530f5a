"""A mapping with a limit: a new entry evicts the least recently used one."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class Bounded(OrderedDict[K, V]):
    """A mapping of at most ``size`` entries.

    Reading by subscript or :meth:`get`, and writing, count as use; ``in``, iteration and views do not.

    Args:
        size: How many entries are kept; at least one.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __getitem__(self, key: K) -> V:
        self.move_to_end(key)  # raises KeyError
        return dict.__getitem__(self, key)

    @overload
    def get(self, key: K, default: None = None, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V | T, /) -> V | T: ...
    def get(self, key: K, default: object = None, /) -> object:
        """Return the value of a key, which counts as use, or the default."""
        try:
            self.move_to_end(key)
        except KeyError:
            return default
        return dict.__getitem__(self, key)

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        if len(self) > self._size:
            # Not popitem: it reads by subscript, which would move the entry to the end first.
            del self[next(iter(self))]
