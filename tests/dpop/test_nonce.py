"""Nonces, client side: the rules one by one, and a model of the cache for what their mixture does."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from multidict import CIMultiDict

from passwordless_async import DPoPKey, NonceCache, UsageError
from passwordless_async._common.http import HttpResponse
from passwordless_async.dpop import nonce_of

HERE, THERE = "https://tenant.example", "https://api.example:8443"
NQCHAR = "".join(chr(c) for c in range(0x21, 0x7F) if c not in (0x22, 0x5C))


def answer(*nonces: str, status: int = 200) -> HttpResponse:
    """Return an answer with these DPoP-Nonce fields."""
    return HttpResponse(status, CIMultiDict([("DPoP-Nonce", nonce) for nonce in nonces]))


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 401, 403, 404, 429, 499])
def test_taken_from_every_answer(status: int) -> None:
    """Rule 8: a nonce is taken from every 2xx to 4xx answer."""
    cache = NonceCache()
    assert cache.harvest(HERE, answer("n1", status=status), cache.ticket()) == "n1"
    assert cache.get(HERE) == "n1"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
def test_not_taken_from_a_failure(status: int) -> None:
    """Rule 8: a 5xx neither updates nor clears."""
    cache = NonceCache()
    cache.harvest(HERE, answer("n1"), cache.ticket())
    assert cache.harvest(HERE, answer("n2", status=status), cache.ticket()) is None
    assert cache.get(HERE) == "n1"


def test_an_answer_without_the_header_changes_nothing() -> None:
    """Rule 8: no header, and the cache stays (RFC 9449 §8.2)."""
    cache = NonceCache()
    cache.harvest(HERE, answer("n1"), cache.ticket())
    assert cache.harvest(HERE, answer(), cache.ticket()) is None
    assert cache.get(HERE) == "n1"


@pytest.mark.parametrize("nonces", [("n2", "n2"), ("n2", "n3"), ("n2", "")])
def test_two_headers_are_none(nonces: tuple[str, ...]) -> None:
    """Rule 9: exactly one header counts; two that say the same are two."""
    cache = NonceCache()
    cache.harvest(HERE, answer("n1"), cache.ticket())
    assert nonce_of(answer(*nonces)) is None
    assert cache.harvest(HERE, answer(*nonces), cache.ticket()) is None
    assert cache.get(HERE) == "n1"


@pytest.mark.parametrize("nonce", [*NQCHAR, NQCHAR, "n" * 1024, "n1,n2"])
def test_nonces_of_the_grammar(nonce: str) -> None:
    """Rule 9, RFC 9449 §8.1: 1*NQCHAR, up to a length; a comma is one of its characters."""
    assert nonce_of(answer(nonce)) == nonce


@pytest.mark.parametrize("nonce", ["", " ", "a b", "a\tb", '"a"', "a\\", "a\n", "\x7f", "\0", "é", "n" * 1025])
def test_nonces_off_the_grammar(nonce: str) -> None:
    """Rule 9: what breaks the grammar, or is too long, is ignored."""
    assert nonce_of(answer(nonce)) is None


def test_the_name_of_the_header_has_no_case() -> None:
    """RFC 9110 §5.1: field names are matched without regard to case."""
    assert nonce_of(HttpResponse(200, CIMultiDict({"dpop-NONCE": "n1"}))) == "n1"


def test_one_nonce_for_each_origin() -> None:
    """Rule 7: the cache is per origin, and one origin's nonce says nothing of another."""
    cache = NonceCache()
    assert cache.get(HERE) is None
    cache.harvest(HERE, answer("n1"), cache.ticket())
    assert (cache.get(HERE), cache.get(THERE)) == ("n1", None)
    cache.harvest(THERE, answer("n2"), cache.ticket())
    assert (cache.get(HERE), cache.get(THERE)) == ("n1", "n2")


def test_ordered_by_sending() -> None:
    """Rule 10: of two answers that overtake each other, the one to the request that was sent last stays."""
    cache = NonceCache()
    first, second = cache.ticket(), cache.ticket()
    assert cache.harvest(HERE, answer("newer"), second) == "newer"
    assert cache.harvest(HERE, answer("older"), first) == "older"
    assert cache.get(HERE) == "newer"


def test_one_request_may_teach_twice() -> None:
    """Rule 10: an answer with the ticket of the one that is kept is no older than it."""
    cache = NonceCache()
    ticket = cache.ticket()
    cache.harvest(HERE, answer("n1"), ticket)
    cache.harvest(HERE, answer("n2"), ticket)
    assert cache.get(HERE) == "n2"


def test_tickets_are_in_order() -> None:
    """Rule 10: each ticket is drawn later than the one before."""
    cache = NonceCache()
    tickets = [cache.ticket() for _ in range(10)]
    assert sorted(set(tickets)) == tickets


def test_bounded() -> None:
    """Rule 7: the cache holds 256 origins unless told; the one least recently used goes."""
    cache = NonceCache()
    origins = [f"https://t{number}.example" for number in range(257)]
    for origin in origins:
        cache.harvest(origin, answer("n"), cache.ticket())
    assert repr(cache) == "<NonceCache of 256 nonces>"
    assert origins[1:] == [origin for origin in origins if cache.get(origin)]


def test_the_least_recently_used_goes() -> None:
    """Rule 7: reading a nonce is a use, and so is learning one."""
    cache = NonceCache(2)
    cache.harvest("a", answer("n"), cache.ticket())
    cache.harvest("b", answer("n"), cache.ticket())
    cache.get("a")
    cache.harvest("c", answer("n"), cache.ticket())
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ("n", None, "n")
    cache.harvest("a", answer("n2"), cache.ticket())
    cache.harvest("d", answer("n"), cache.ticket())
    assert (cache.get("a"), cache.get("c"), cache.get("d")) == ("n2", None, "n")


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "2", None])
def test_sizes_refused(size: Any) -> None:
    """A cache holds one origin or more."""
    with pytest.raises(UsageError) as refused:
        NonceCache(size)
    assert refused.value.argument == "size"


def test_the_repr_shows_a_count() -> None:
    """A cache prints how many origins it knows, and no nonce."""
    cache = NonceCache()
    cache.harvest(HERE, answer("marker"), cache.ticket())
    assert repr(cache) == "<NonceCache of 1 nonces>"


class NonceModel(RuleBasedStateMachine):
    """Requests leave in one order and are answered in another; the model keeps a list, newest use last."""

    flying = Bundle("flying")

    def __init__(self) -> None:
        super().__init__()
        self.cache = NonceCache(3)
        self.known: list[tuple[str, int, str]] = []
        self.sent = 0

    def entry(self, origin: str) -> tuple[str, int, str] | None:
        return next((entry for entry in self.known if entry[0] == origin), None)

    @rule(target=flying, origin=st.sampled_from("abcd"))
    def send(self, origin: str) -> tuple[str, int, int]:
        """A request leaves: it reads the nonce and draws its place."""
        entry = self.entry(origin)
        assert (entry and entry[2]) == self.cache.get(origin)
        if entry:
            self.known.remove(entry)
            self.known.append(entry)
        self.sent += 1
        return origin, self.cache.ticket(), self.sent

    @rule(
        request=consumes(flying),
        nonces=st.lists(st.sampled_from(["n1", "n2", "n3", "bad nonce"]), max_size=2),
        status=st.sampled_from([200, 400, 401, 503]),
    )
    def answer(self, request: tuple[str, int, int], nonces: list[str], status: int) -> None:
        """Any request in flight is answered, with or without a nonce."""
        origin, ticket, order = request
        offered = nonces[0] if len(nonces) == 1 and status < 500 and " " not in nonces[0] else None
        assert self.cache.harvest(origin, answer(*nonces, status=status), ticket) == offered
        entry = self.entry(origin)
        if offered is not None and (entry is None or entry[1] <= order):
            others = [kept for kept in self.known if kept[0] != origin]
            self.known = [*others, (origin, order, offered)][-3:]

    @invariant()
    def same_contents(self) -> None:
        """Cache and model hold the same nonces in the same order of use."""
        expected = [(origin, nonce) for origin, _, nonce in self.known]
        assert [(origin, newest.nonce) for (origin, _), newest in self.cache._entries.items()] == expected


NonceModel.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestNonceModel = NonceModel.TestCase


def test_shared_between_keys_unless_told() -> None:
    """Rule 7: one nonce per origin serves all users."""
    cache, one, other = NonceCache(), DPoPKey.generate(), DPoPKey.generate()
    cache.harvest(HERE, answer("n1"), cache.ticket(), one)
    assert cache.get(HERE, other) == "n1"


def test_per_key_on_request() -> None:
    """Rule 7: by option a nonce serves the key alone that it was given to."""
    cache, one, other = NonceCache(per_key=True), DPoPKey.generate(), DPoPKey.generate()
    cache.harvest(HERE, answer("n1"), cache.ticket(), one)
    cache.harvest(HERE, answer("n2"), cache.ticket(), other)
    assert (cache.get(HERE, one), cache.get(HERE, other), cache.get(HERE, DPoPKey.generate())) == ("n1", "n2", None)


def test_learned_nonce_is_reported() -> None:
    """The hook hears of each newer nonce once, and not of what came in from elsewhere or too late."""
    heard: list[tuple[str, str, str | None]] = []
    cache = NonceCache(on_learned=lambda *learned: heard.append(learned))
    early, late = cache.ticket(), cache.ticket()
    cache.harvest(HERE, answer("n2"), late)
    assert heard == [(HERE, "n2", None)]
    cache.harvest(HERE, answer("n1"), early)
    cache.harvest(HERE, answer("n2"), cache.ticket())
    cache.put(THERE, "n3")
    assert heard == [(HERE, "n2", None)]


def test_learned_nonce_is_reported_with_its_key() -> None:
    """What the hook hears of one cache is what another one puts: the nonce is found under the same key there."""
    key, other = DPoPKey.generate(), NonceCache(per_key=True)
    cache = NonceCache(per_key=True, on_learned=other.put)
    cache.harvest(HERE, answer("n1"), cache.ticket(), key)
    assert (other.get(HERE, key), other.get(HERE, DPoPKey.generate())) == ("n1", None)


def test_failing_hook_does_not_cost_the_response(caplog: pytest.LogCaptureFixture) -> None:
    """A code may have been spent for the answer: it wins, and the log says that the hook failed."""

    def fail(*_learned: object) -> None:
        raise ConnectionError("a secret of the store's")

    cache = NonceCache(on_learned=fail)
    assert cache.harvest(HERE, answer("n1"), cache.ticket()) == "n1"
    assert cache.get(HERE) == "n1"
    assert "on_learned failed" in caplog.text
    assert "secret" not in caplog.text


def test_nonce_of_another_process_is_the_newest() -> None:
    """A nonce from another process is newer than every request sent before it came, and older than later ones."""
    cache = NonceCache()
    before = cache.ticket()
    cache.put(HERE, "theirs")
    cache.harvest(HERE, answer("ours"), before)
    assert cache.get(HERE) == "theirs"
    cache.harvest(HERE, answer("newer"), cache.ticket())
    assert cache.get(HERE) == "newer"


@pytest.mark.parametrize("nonce", ["", "white space", 'quo"te', "back\\slash", "ä", "n" * 1025, 1, None])
def test_put_checks_the_nonce(nonce: Any) -> None:
    """A nonce of another process is checked like one of a response."""
    cache = NonceCache()
    with pytest.raises(UsageError, match="nonce: must be visible"):
        cache.put(HERE, nonce)
    assert cache.get(HERE) is None


def test_state_is_shared_by_origin_and_kind() -> None:
    """All users of a cache get one state for an origin and its kind; another cache has its own."""
    cache = NonceCache()
    state = cache.shared_state(HERE, list[int])
    assert cache.shared_state(HERE, list[int]) is state
    others = [
        cache.shared_state(THERE, list[int]),
        cache.shared_state(HERE, dict),
        NonceCache().shared_state(HERE, list),
    ]
    assert all(other is not state for other in others)
