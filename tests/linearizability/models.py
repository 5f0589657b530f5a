"""What the parts of a store do if calls come one after the other; written from their protocols, not from their code.

Each model is of one object: the codes of a user, a session with its login, a quota, the nonce of an origin, counters
of a group, used proofs. Times are so long that nothing expires within a history, so that time is no part of a state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from passwordless_async.stores import RefreshEnd, RefreshLease, RefusedCode


class Codes(NamedTuple):
    """What is known of one user's codes."""

    presented: tuple[tuple[str, int, str], ...] = ()  # code, number of the attempt, token
    last: int = 0
    started: bool = False
    right: str | None = None
    holder: str | None = None  # of the start under way, or of the cool-down
    cools_down: bool = False

    @property
    def attempts(self) -> int:
        return sum(code != self.right for code, _, _ in self.presented)

    def by(self, code: str) -> str | None:
        return next((token for each, _, token in self.presented if each == code), None)

    def from_(self, first: int) -> tuple[tuple[str, int, str], ...]:
        return tuple(each for each in self.presented if each[1] >= first)


class CodesModel:
    """``CodeStore``, for one user: three attempts at a code that was sent, four distinct codes."""

    initial = Codes()

    def step(self, state: Codes, name: str, arguments: tuple[Any, ...]) -> tuple[Any, Codes]:
        answer: tuple[Any, Codes] = getattr(self, name)(state, *arguments)
        return answer

    def begin_attempt(self, state: Codes, code: str, token: str) -> tuple[int | RefusedCode | None, Codes]:
        presented_by = state.by(code)
        if presented_by == "":
            return RefusedCode(state.attempts), state
        if presented_by is not None:
            return (state.attempts if presented_by == token else None), state
        if (state.attempts >= 3 and state.started) or len(state.presented) >= 4:
            return 0, state
        number = state.last + 1
        return state.attempts + 1, state._replace(presented=(*state.presented, (code, number, token)), last=number)

    def undo_attempt(self, state: Codes, code: str, token: str) -> tuple[None, Codes]:
        if state.by(code) != token:
            return None, state
        right = None if state.right == code else state.right  # what was not presented was not right
        return None, state._replace(presented=tuple(each for each in state.presented if each[0] != code), right=right)

    def refuse_code(self, state: Codes, code: str, token: str, is_last: bool) -> tuple[None, Codes]:  # noqa: FBT001
        if state.by(code) != token:
            return None, state
        if state.cools_down and is_last:
            state = state._replace(holder=None, cools_down=False)
        right = None if state.right == code else state.right  # what was wrong was not right
        presented = tuple((name, at, "" if name == code else by) for name, at, by in state.presented)
        return None, state._replace(presented=presented, right=right)

    def retire_code(self, state: Codes, code: str, token: str, correct: bool) -> tuple[None, Codes]:  # noqa: FBT001
        if state.by(code) != token:
            return None, state
        if state.cools_down:
            state = state._replace(holder=None, cools_down=False)
        if not correct:
            return None, state
        (number,) = (number for each, number, _ in state.presented if each == code)
        return None, state._replace(presented=state.from_(number), started=False, right=code)

    def begin_start(self, state: Codes, token: str) -> tuple[tuple[bool, int], Codes]:
        if state.holder is not None and (state.holder != token or state.cools_down):
            return (False, state.last), state
        return (True, state.last), state._replace(holder=token)

    def end_start(self, state: Codes, token: str, cool_down: bool, mark: int | None) -> tuple[None, Codes]:  # noqa: FBT001
        if mark is not None:
            state = state._replace(presented=state.from_(mark + 1), started=True)
            state = state if state.by(state.right or "") is not None else state._replace(right=None)
        if state.holder == token:
            state = state._replace(holder=token if cool_down else None, cools_down=cool_down)
        return None, state


class Session(NamedTuple):
    """One session, and the lease of its login."""

    text: str | None = None
    spends: str | None = None
    holder: str | None = None
    locked: bool = False
    doubtful: bool = False
    refused: str | None = None
    newest: str | None = None
    tokens: str | None = None


class SessionModel:
    """``SessionStore``, for one session: its text, and who may spend its refresh token."""

    initial = Session()

    def step(self, state: Session, name: str, arguments: tuple[Any, ...]) -> tuple[Any, Session]:
        answer: tuple[Any, Session] = getattr(self, name)(state, *arguments)
        return answer

    def open(self, state: Session, text: str) -> tuple[None, Session]:
        return None, state._replace(text=text)

    def read(self, state: Session) -> tuple[str | None, Session]:
        return state.text, state

    peek = read

    def reseal(self, state: Session, before: str, text: str) -> tuple[bool, Session]:
        return (True, state._replace(text=text)) if state.text == before else (False, state)

    def close(self, state: Session) -> tuple[bool, Session]:
        return state.text is not None, state._replace(text=None)

    def begin_refresh(
        self,
        state: Session,
        text: str,
        spends: str,
        token: str,
        overlap: bool,  # noqa: FBT001
    ) -> tuple[Any, Session]:
        granted = RefreshLease.GRANTED
        if state.text is None:
            return (RefreshLease.GONE, False, None), state
        if state.spends == spends and state.holder == token:
            return (granted, state.doubtful, None), state._replace(locked=True)
        refusal, tokens = self._refusal(state, text, spends, overlap)
        if refusal is not None:
            return (refusal, False, tokens), state
        doubtful = state.spends == spends
        return (granted, doubtful, None), state._replace(spends=spends, holder=token, locked=True, doubtful=doubtful)

    def _refusal(
        self,
        state: Session,
        text: str,
        spends: str,
        overlap: bool,  # noqa: FBT001
    ) -> tuple[RefreshLease | None, str | None]:
        if state.text != text:
            return RefreshLease.CHANGED, None
        if state.newest not in (None, spends):
            return RefreshLease.REPLACED, state.tokens
        if state.refused == spends:
            return RefreshLease.REFUSED, None
        if state.spends != spends:
            return None, None
        if state.locked:
            return RefreshLease.BUSY, None
        return (None, None) if overlap else (RefreshLease.DOUBTFUL, None)

    def hold_refresh(self, state: Session, token: str, lock: bool) -> tuple[None, Session]:  # noqa: FBT001
        return None, state._replace(locked=lock) if state.holder == token else state

    def release_refresh(self, state: Session, token: str, refused: bool) -> tuple[None, Session]:  # noqa: FBT001
        if state.holder != token:
            return None, state
        after = state._replace(locked=False, holder=None, doubtful=False)
        if refused:
            after = after._replace(refused=state.spends)
        return None, after._replace(spends=None) if refused or not state.doubtful else after

    def end_refresh(
        self, state: Session, token: str, texts: tuple[str, str], replacement: str, tokens: str
    ) -> tuple[RefreshEnd, Session]:
        reported = RefreshEnd.CLOSED if state.text is None else RefreshEnd.KEPT
        changed = state.text is not None and state.text not in texts
        if changed:
            reported = RefreshEnd.CHANGED
        if state.tokens == tokens or state.text == texts[1]:
            return reported, state
        if state.text is None:
            return RefreshEnd.VOID, Session()
        if state.holder != token:
            return RefreshEnd.PASSED, state
        return reported, Session(text=state.text if changed else texts[1], newest=replacement, tokens=tokens)


class QuotaModel:
    """``QuotaStore``: the place of each reservation, counted in intervals from the first."""

    initial = 0

    def step(self, state: int, _name: str, arguments: tuple[Any, ...]) -> tuple[int, int]:
        return state, state + int(arguments[0])


class NonceModel:
    """``NonceStore``, for one origin: the nonce, and who has the turn to fetch it."""

    initial: tuple[str | None, str | None] = (None, None)

    def step(self, state: Any, name: str, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        nonce, turn = state
        if name == "nonce":
            return nonce, state
        if name == "put_nonce":
            return None, (arguments[0], None)
        if name == "release_turn":
            return None, (nonce, None if turn == arguments[0] else turn)
        if nonce is not None:
            return nonce, state
        return (True, (None, arguments[0])) if turn in (None, arguments[0]) else (False, state)


class CounterModel:
    """``CounterStore``, for a group of two counters: three of the first and five of the second in a window."""

    initial: frozenset[tuple[str, bool]] = frozenset()  # tokens that were counted, and whether in the first too

    def step(self, state: Any, name: str, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
        token, both = arguments
        known = any(each == token for each, _ in state)
        if name == "undo_count":
            return None, state - {(token, True), (token, False)}
        if known:
            return True, state
        if len(state) >= 5 or (both and sum(first for _, first in state) >= 3):
            return False, state
        return True, state | {(token, both)}


class ReplayModel:
    """``ReplayStore``: a proof is new once."""

    initial: frozenset[str] = frozenset()

    def step(self, state: Any, _name: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
        return arguments[0] not in state, state | {arguments[0]}
