"""Makes programs that do something: phrases of steps that belong together, one user beside the others.

A phrase is a few verbs of :class:`~helpers.programs.World` by one user. What drives logins on comes more often than
what disturbs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from helpers import programs

if TYPE_CHECKING:
    from collections.abc import Callable

    from helpers.programs import Step

Test = TypeVar("Test", bound="Callable[..., None]")

EXAMPLES = 100  # of each run; Hypothesis's own number
SEED = 2  # of the programs that are the same in each run of CI
LEAST_PHRASES, MOST_PHRASES = 10, 16
NUMBERS = 40  # the greatest number of a step
_LOGIN = ("start", "mail", "exchange")
_SESSION = (*_LOGIN, "settle")
PHRASES: list[tuple[str, ...]] = [
    _LOGIN,
    (*_LOGIN, "turns", "twin"),
    (*_LOGIN, *_LOGIN),
    (*_SESSION, "refresh"),
    (*_SESSION, "refresh", "settle", "refresh"),
    (*_SESSION, "refresh", "turns", "cancel"),
    (*_SESSION, "leave", "refresh", "settle", "refresh_again"),
    (*_SESSION, "lost_answer", "refresh", "settle", "refresh_again"),
    (*_SESSION, "revoke"),
    ("start", "mail", "leave", "exchange"),
    ("start", "mail", "leave", "exchange", "turns", "close"),
    ("start", "mail", "wrong_code", "exchange"),
    ("start", "mail", "turns", "many"),
    (*_SESSION, "start", "mail", "late_answer", "exchange", "refresh", "settle", "refresh"),
    (*_SESSION, "late_answer", "refresh", *_SESSION, "refresh"),
    ("start", "mail", "lost_answer", "exchange", "settle", "again"),
    ("start", "turns", "exchange", "turns", "cancel"),
    ("fault", *_LOGIN, "settle", "no_fault"),
    ("fault", "turns", "no_fault"),
    ("outage", "turns", *_LOGIN, "turns", *_LOGIN),
]


@st.composite
def _phrase(draw: st.DrawFn) -> list[Step]:
    user = draw(st.integers(0, programs.USERS - 1))
    return [(verb, user, draw(st.integers(0, NUMBERS))) for verb in draw(st.sampled_from(PHRASES))]


def _joined(phrases: list[list[Step]]) -> list[Step]:
    return [step for phrase in phrases for step in phrase]


PROGRAMS = st.lists(_phrase(), min_size=LEAST_PHRASES, max_size=MOST_PHRASES).map(_joined)
SETTINGS = st.builds(
    programs.Setting,
    adaptive=st.booleans(),
    circuit=st.booleans(),
    in_flight=st.sampled_from([100, 2, 1]),
    nonces=st.integers(0, len(programs.NONCES) - 1),
    orphans=st.sampled_from(["keeps", "none", "fails"]),
    shared=st.booleans(),
    grace=st.sampled_from([programs.PATIENCE, 0.0]),
    hook_turns=st.sampled_from([2, 0, 20]),
    order=st.none() | st.integers(0, 2**16),
)


def the_same_in_ci(test: Test) -> Test:
    """Have a test run the same programs each time, if the profile asks for the same examples."""
    return seed(SEED)(test) if settings.default is not None and settings.default.derandomize else test


def ordinary() -> list[tuple[list[Step], programs.Setting]]:
    """Return the programs that CI runs."""
    found: list[tuple[list[Step], programs.Setting]] = []

    @seed(SEED)
    @settings(max_examples=EXAMPLES, database=None, phases=[Phase.generate])
    @given(program=PROGRAMS, setting=SETTINGS)
    def collect(program: list[Step], setting: programs.Setting) -> None:
        found.append((program, setting))

    collect()
    return found
