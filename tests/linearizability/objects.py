"""The objects of a store: how each is called, and which calls are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from linearizability.models import (
    CodesModel,
    CounterModel,
    NonceModel,
    QuotaModel,
    ReplayModel,
    SessionModel,
)
from passwordless_async.stores import Counter, Place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from linearizability.checker import Model

_LONG = 3600.0  # seconds; nothing expires within a history
_INTERVAL = 1000.0  # seconds between two places of a quota; what a history takes is nothing beside it


@attrs.define
class Memory:
    """What a caller knows of an object, from which it draws its next call.

    Attributes:
        random: What all is drawn from.
        name: The caller's; its tokens and texts begin with it.
        said: The arguments of its calls, by their names: it repeats some, as after a lost answer.
        text: The text of the session that it read last.
        mark: The mark of the start that it began last.
        opened: Whether it has opened the session, and was told so. The first caller does so, and no other.
    """

    random: Random
    name: str
    number: int = 0
    said: dict[str, list[tuple[Any, ...]]] = attrs.field(factory=dict)
    text: str = "opened"
    mark: int = 0
    opened: bool = False

    def fresh(self) -> str:
        """Return a name that no other call has."""
        self.number += 1
        return f"{self.name}.{self.number}"

    def again(self, name: str, *fresh: Any) -> tuple[Any, ...]:
        """Return the arguments of an earlier call, or fresh ones if there was none."""
        return self.random.choice(self.said.get(name, [fresh]))


@attrs.frozen
class Kind:
    """A kind of object.

    Attributes:
        model: What it does.
        draw: Draws a call: its name and arguments.
        call: Makes the call, of the object of a name.
        durable: The calls whose answer promises, with ``replicas``, that they are kept.
    """

    model: Model
    draw: Callable[[Memory], tuple[str, tuple[Any, ...]]]
    call: Callable[[Any, str, str, tuple[Any, ...]], Awaitable[Any]]
    durable: frozenset[str] = frozenset()


def _draw_codes(memory: Memory) -> tuple[str, tuple[Any, ...]]:
    choice, code = memory.random.choice, memory.random.choice("abcdef")
    reports = ("undo_attempt", "refuse_code", "retire_code", "begin_start", "begin_start", "end_start")
    name = choice(("begin_attempt",) * 4 + reports)
    if name == "begin_attempt":
        again = memory.random.random() < 0.2
        return name, memory.again(name, code, memory.fresh()) if again else (code, memory.fresh())
    if name == "begin_start":
        return name, (memory.fresh(),)
    if name == "end_start":
        (token,) = memory.again("begin_start", "none")
        return name, (token, choice((True, True, False)), choice((memory.mark, None)))
    attempt = memory.again("begin_attempt", code, "none")
    return name, attempt if name == "undo_attempt" else (*attempt, choice((True, False)))


async def _call_codes(store: Any, user: str, name: str, given: tuple[Any, ...]) -> Any:
    if name == "begin_attempt":
        return await store.begin_attempt(user, given[0], token=given[1], max_attempts=3, max_codes=4, remember=_LONG)
    if name == "undo_attempt":
        return await store.undo_attempt(user, given[0], token=given[1])
    if name == "refuse_code":
        return await store.refuse_code(user, given[0], token=given[1], is_last=given[2])
    if name == "retire_code":
        return await store.retire_code(user, given[0], token=given[1], correct=given[2])
    if name == "begin_start":
        left, mark = await store.begin_start(user, token=given[0], seconds=_LONG, remember=_LONG)
        return left == 0.0, mark
    seconds = _LONG if given[1] else 0.0
    return await store.end_start(user, token=given[0], seconds=seconds, mark=given[2], remember=_LONG)


def _draw_session(memory: Memory) -> tuple[str, tuple[Any, ...]]:
    choice, text = memory.random.choice, memory.text
    if memory.name == "c0" and not memory.opened:
        return "open", ("opened",)
    lease = ("begin_refresh", "begin_refresh", "end_refresh", "end_refresh", "hold_refresh", "release_refresh")
    name = "close" if memory.random.random() < 0.005 else choice(("read", "read", "peek", "reseal", *lease))
    if name in {"read", "peek", "close"}:
        return name, ()
    if name == "reseal":
        return name, (text, memory.fresh())
    begun = memory.again("begin_refresh", text, "r0", "none", choice((True, False)))
    if name == "begin_refresh":
        spends = choice(("r0", "r1", "r2"))
        again = memory.random.random() < 0.2
        return name, begun if again else (text, spends, memory.fresh(), choice((True, False)))
    if name == "end_refresh":
        return name, (begun[2], (begun[0], memory.fresh()), choice(("r1", "r2")), memory.fresh())
    return name, (begun[2], choice((True, False)))


async def _call_session(store: Any, name_of_it: str, name: str, given: tuple[Any, ...]) -> Any:
    user, login = name_of_it.rpartition(" ")[0], f"login of {name_of_it}"  # both sessions of a history are its user's
    place = Place("shardone", name_of_it, user)
    if name == "open":
        return await store.open(place, given[0], login=login, seconds=_LONG, user_seconds=_LONG)
    if name == "read":
        return await store.read(place, seconds=_LONG)
    if name == "peek":
        seen = await store.peek(place)
        return None if seen is None else seen[0]
    if name in {"reseal", "close"}:
        return await getattr(store, name)(place, *given)
    return await _call_lease(store, place, login, name, given)


async def _call_lease(store: Any, place: Place, login: str, name: str, given: tuple[Any, ...]) -> Any:
    if name == "begin_refresh":
        text, spends, token, overlap = given
        overlaps = _LONG if overlap else 0.0
        turn = await store.begin_refresh(
            *(place,),
            login=login,
            sealed=text,
            spends=spends,
            token=token,
            seconds=_LONG,
            overlap=overlaps,
            remember=_LONG,
        )
        return turn.lease, turn.elapsed is not None, turn.tokens
    if name == "hold_refresh":
        return await store.hold_refresh(place, login=login, token=given[0], seconds=_LONG if given[1] else 0.0)
    if name == "release_refresh":
        return await store.release_refresh(place, login=login, token=given[0], refused=given[1])
    token, texts, replacement, tokens = given
    more = {"replacement": replacement, "tokens": tokens, "seconds": _LONG, "remember": _LONG}
    return await store.end_refresh(place, login=login, token=token, texts=texts, **more)


async def _call_quota(store: Any, quota: str, _name: str, given: tuple[Any, ...]) -> int:
    seconds: float = await store.reserve(quota, requests=given[0], interval=_INTERVAL)
    return round(seconds / _INTERVAL)


def _draw_nonce(memory: Memory) -> tuple[str, tuple[Any, ...]]:
    name = memory.random.choice(
        ("nonce", "nonce_or_turn", "nonce_or_turn", "nonce_or_turn", "put_nonce", "release_turn")
    )
    if name == "nonce":
        return name, ()
    if name == "release_turn":
        return name, memory.again("nonce_or_turn", "none")
    if name == "nonce_or_turn" and memory.random.random() < 0.3:
        return name, memory.again(name, memory.fresh())
    return name, (memory.fresh(),)


async def _call_nonce(store: Any, origin: str, name: str, given: tuple[Any, ...]) -> Any:
    if name == "nonce":
        return await store.nonce(origin)
    if name == "put_nonce":
        return await store.put_nonce(origin, given[0], seconds=_LONG)
    if name == "release_turn":
        return await store.release_turn(origin, token=given[0])
    return await store.nonce_or_turn(origin, token=given[0], seconds=_LONG)


def _draw_counters(memory: Memory) -> tuple[str, tuple[Any, ...]]:
    name = memory.random.choice(("count", "count", "undo_count"))
    fresh = memory.fresh(), memory.random.random() < 0.5
    again = name == "undo_count" or memory.random.random() < 0.2
    return name, memory.again("count", *fresh) if again else fresh


async def _call_counters(store: Any, group: str, name: str, given: tuple[Any, ...]) -> Any:
    token, both = given
    counters = [Counter("first", group, 3, _LONG)] * both + [Counter("second", group, 5, _LONG)]
    if name == "undo_count":
        return await store.undo_count(group, counters, token=token)
    return not any(await store.count(group, counters, token=token, remember=_LONG))


async def _call_replay(store: Any, proofs: str, _name: str, given: tuple[Any, ...]) -> bool:
    added: bool = await store.replay.add(f"{proofs} {given[0]}", store.replay.clock() + _LONG)
    return added


KINDS = {
    "codes": Kind(CodesModel(), _draw_codes, _call_codes),
    "session": Kind(
        *(SessionModel(), _draw_session, _call_session),
        frozenset({"open", "reseal", "close", "begin_refresh", "hold_refresh", "release_refresh", "end_refresh"}),
    ),
    "quota": Kind(QuotaModel(), lambda memory: ("reserve", (memory.random.choice((1, 1, 2, 5)),)), _call_quota),
    "nonce": Kind(NonceModel(), _draw_nonce, _call_nonce),
    "counters": Kind(CounterModel(), _draw_counters, _call_counters),
    "replay": Kind(
        ReplayModel(), lambda memory: ("add", (memory.random.choice("abcdefgh"),)), _call_replay, frozenset({"add"})
    ),
}
