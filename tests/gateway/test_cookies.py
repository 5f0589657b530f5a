"""The cookies: set, read, removed; what is changed, foreign or too long is none."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from passwordless_async import Email, KeyRing
from passwordless_async._common import sealing
from passwordless_async._common.secret import Secret
from passwordless_async.gateway import cookies as module
from passwordless_async.gateway.cookies import Cookies
from passwordless_async.gateway.replies import Page, Reply
from passwordless_async.gateway.state import LoginState

if TYPE_CHECKING:
    from collections.abc import Mapping

OLD, NEW, USERS = (secrets.token_bytes(32) for _ in range(3))
COOKIES = Cookies(KeyRing(OLD, users=USERS), "https://acme.example/ client https://app.example", secure=True)
STATE = LoginState(id=Secret("id"), expires_at=1000, who=Email("ada@example.com"))


def headers(*values: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict([("Cookie", value) for value in values]))


def written(reply: Reply, cookies: Cookies = COOKIES, *, had: bool = True, came: str = "__Host-login=x") -> list[str]:
    fields = cookies.set_cookie_fields(reply, headers=headers(came) if had else headers(), had_session=had, now=400.0)
    return [field for _, field in fields]


def sealed(state: LoginState = STATE, cookies: Cookies = COOKIES) -> str:
    (field,) = written(Reply(page=Page.CODE, login=state), cookies)
    return field.partition(";")[0]


def test_login_cookie() -> None:
    """It has the prefix, no script reads it, no other site sends it, and it ends with the login."""
    (field,) = written(Reply(page=Page.CODE, login=STATE))
    name, _, attributes = field.partition("=")
    assert (name, attributes.partition("; ")[2]) == (
        "__Host-login",
        "Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600",
    )
    assert COOKIES.login_of(headers(sealed()), now=999) == STATE


def test_loopback() -> None:
    """Over plain http browsers refuse the prefix and ``Secure``."""
    plain = attrs.evolve(COOKIES, secure=False)
    (field,) = written(Reply(page=Page.HOME, session=Secret("identifier")), plain)
    assert field == "session=identifier; Path=/; HttpOnly; SameSite=Lax"
    assert (plain.login_names[0], plain.language_name) == ("login", "language")


def test_session_cookie() -> None:
    """It lasts until the browser is closed, or as long as the user asked."""
    (field,) = written(Reply(page=Page.HOME, session=Secret("identifier"), session_seconds=60.0))
    assert field == "__Host-session=identifier; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60"
    assert COOKIES.session_of(headers("a=b; __Host-session=identifier")) == "identifier"
    assert repr(COOKIES.session_of(headers("__Host-session=identifier"))) == "<redacted>"


def test_removal() -> None:
    """Of what the browser has."""
    gone = Reply(page=Page.LOGGED_OUT, login=None, session=None)
    assert [field.partition(";")[0] for field in written(gone)] == ["__Host-login=", "__Host-session="]
    assert all("Max-Age=0" in field for field in written(gone))
    assert written(gone, had=False) == []
    assert written(Reply(page=Page.HOME)) == []


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("__Host-session=",),
        ("session=identifier",),
        ("__Host-session=a; __Host-session=b",),
        ("__Host-session=a", "__Host-session=b"),
        ("__Host-session",),
        ("__host-session=a",),
        ("x=" + "A" * 17_000 + "; __Host-session=a",),
    ],
    ids=lambda values: str(values)[:60],
)
def test_what_is_no_session(values: tuple[str, ...]) -> None:
    """Absent, twice, of another name, or in too much."""
    assert COOKIES.session_of(headers(*values)) is None


@pytest.mark.parametrize("blank", ["\x85", "\xa0", "\u2000", "\u3000", "\x0b", "\x1f"])
def test_a_name_that_begins_with_another_blank(blank: str) -> None:
    """Such a name has no prefix for a browser, so another host may have set it: it neither counts nor shadows."""
    assert COOKIES.session_of(headers(f"{blank}__Host-session=a")) is None
    assert COOKIES.session_of(headers(f"__Host-session=a; {blank}__Host-session=b")) == "a"


def test_what_is_no_login() -> None:
    """Ended, changed, of another deployment, or sealed with another key."""
    cookie = sealed()
    assert COOKIES.login_of(headers(cookie), now=1000) is None
    foreign = (
        attrs.evolve(COOKIES, deployment="https://acme.example/ client https://other.example"),
        attrs.evolve(COOKIES, keys=KeyRing(NEW, users=USERS)),
    )
    assert [cookies.login_of(headers(cookie), now=400) for cookies in foreign] == [None, None]
    value = cookie.partition("=")[2]
    for at in range(0, len(value), 37):
        changed = value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
        assert COOKIES.login_of(headers(f"__Host-login={changed}"), now=400) is None


def test_keys_rotate() -> None:
    """A login that began with the old key goes on while both are on the ring."""
    rotated = attrs.evolve(COOKIES, keys=KeyRing(NEW, OLD, users=USERS))
    assert rotated.login_of(headers(sealed()), now=400) == STATE
    assert COOKIES.login_of(headers(sealed(cookies=rotated)), now=400) is None


LONGEST = attrs.evolve(
    STATE,
    id=Secret(secrets.token_urlsafe(16)),
    expires_at=2_000_000_000,
    return_to="/" + "a" * 1023,
    who=Email("a" * 64 + "@" + ".".join(["b" * 60] * 2) + ".example"),
    sent_at=1_999_999_999.123456,
    attempts_left=3,
    remember=True,
)


def test_it_fits_into_a_cookie() -> None:
    """Browsers drop one of more than 4096 bytes in silence (RFC 6265bis §5.6)."""
    assert len(sealed(LONGEST)) < 2500


@pytest.mark.parametrize("more", [1500, 3000])
def test_a_longer_login_is_split(more: int) -> None:
    """As with the service's token and a new factor: no part is longer than browsers keep, and all are needed."""
    login = attrs.evolve(LONGEST, mfa=Secret("m" * more))
    fields = written(Reply(page=Page.FACTOR, login=login))
    parts = [field.partition(";")[0] for field in fields]
    assert [part.partition("=")[0] for part in parts] == ["__Host-login", "__Host-login-2"]
    assert max(map(len, fields)) <= 4096
    assert sum(map(len, parts)) < 8000
    assert COOKIES.login_of(headers("; ".join(parts)), now=400) == login
    assert COOKIES.login_of(headers("; ".join(reversed(parts))), now=400) == login
    others = [part.partition(";")[0] for part in written(Reply(page=Page.FACTOR, login=login))]
    for incomplete in (parts[:1], parts[1:], [parts[0], others[1]], [parts[0], parts[1] + "A"]):
        assert COOKIES.login_of(headers("; ".join(incomplete)), now=400) is None


def test_a_login_that_is_too_long_loses_its_way_back() -> None:
    """Servers read 8 KB of cookies: who logs in is more than where they came from."""
    login = attrs.evolve(LONGEST, mfa=Secret("m" * 5000))
    parts = [field.partition(";")[0] for field in written(Reply(page=Page.FACTOR, login=login))]
    assert len(parts) == 2
    assert COOKIES.login_of(headers("; ".join(parts)), now=400) == attrs.evolve(login, return_to=None)


def test_parts_that_are_left_over() -> None:
    """They are removed; while a browser still has them they do no harm."""
    (first,) = written(Reply(page=Page.CODE, login=STATE))
    left = written(Reply(page=Page.CODE, login=STATE), came="__Host-login=2~x; __Host-login-2=y")
    assert [field.partition(";")[0] for field in left][1:] == ["__Host-login-2="]
    cookie = first.partition(";")[0]
    assert COOKIES.login_of(headers(f"{cookie}; __Host-login-2=AAAA"), now=400) == STATE


@pytest.mark.parametrize("value", ["2~", "9~AAAA", "x~AAAA", "²~AAAA", "~", "1~AAAA", "2~AAAA; __Host-login-2=BBBB"])
def test_parts_that_nothing_sealed(value: str) -> None:
    """They count as none."""
    assert COOKIES.login_of(headers(f"__Host-login={value}"), now=400) is None


def test_language() -> None:
    """It is remembered for a year."""
    assert COOKIES.language("de") == (
        "Set-Cookie",
        "__Host-language=de; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=31536000",
    )
    assert COOKIES.language_of(headers("__Host-language=de")) == "de"


class CountingRing:
    """A key ring that counts what it unseals."""

    def __init__(self) -> None:
        self.unsealed = 0
        self._ring = KeyRing(OLD, users=USERS)
        self.seal = self._ring.seal

    def unseal(self, sealed: str, bound_to: Mapping[str, str]) -> Any:
        self.unsealed += 1
        return self._ring.unseal(sealed, bound_to)


def test_known_login_is_not_unsealed_again() -> None:
    """In the process that sealed it, and in one that has unsealed it; its end counts at each request."""
    here, elsewhere = CountingRing(), CountingRing()
    sealing_one, other = (attrs.evolve(COOKIES, keys=ring) for ring in (here, elsewhere))
    cookie = headers(sealed(cookies=sealing_one))
    assert [sealing_one.login_of(cookie, now=now) for now in (400, 999, 1000)] == [STATE, STATE, None]
    assert [other.login_of(cookie, now=now) for now in (400, 999, 1000)] == [STATE, STATE, None]
    assert (here.unsealed, elsewhere.unsealed) == (0, 1)


def test_login_is_known_by_its_whole_text() -> None:
    """A text that differs in its last character, and one of the same login that was sealed again, are unsealed."""
    ring = CountingRing()
    cookies = attrs.evolve(COOKIES, keys=ring)
    text = sealed(cookies=cookies)
    changed = text[:-1] + ("A" if text[-1] != "A" else "Q")
    assert cookies.login_of(headers(changed), now=400) is None
    members = STATE.members(deployment=cookies.deployment)
    again = sealing.seal_members(members, KeyRing(OLD, users=USERS), "gateway-login+jwe")
    assert cookies.login_of(headers(f"__Host-login={again}"), now=400) == STATE
    assert ring.unsealed == 2


def test_known_logins_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one longest unused makes room, and is unsealed when it is used again. None is printed."""
    monkeypatch.setattr(module, "_MAX_KNOWN", 2)
    ring = CountingRing()
    cookies = attrs.evolve(COOKIES, keys=ring)
    first, second, third = (headers(sealed(cookies=cookies)) for _ in range(3))
    assert [cookies.login_of(each, now=400) for each in (third, second)] == [STATE, STATE]
    assert ring.unsealed == 0
    assert cookies.login_of(first, now=400) == STATE
    assert ring.unsealed == 1
    assert "ada" not in repr(cookies)


def test_known_login_is_as_if_it_were_unsealed() -> None:
    """Whatever it has."""
    secret = Secret("sealed")
    full = attrs.evolve(
        STATE, return_to="/", sent_at=1.5, attempts_left=2, mfa=secret, factor="sms", factor_name="•••12",
        enrolment=secret, recovery_codes=secret, link=secret, remember=True, stepping_up="name",
        demands={"max_age": "60", "acr_values": "a"},
    )  # fmt: skip
    cookie = headers(sealed(full))
    elsewhere = attrs.evolve(COOKIES)
    assert COOKIES.login_of(cookie, now=400) == elsewhere.login_of(cookie, now=400) == full


def test_unchanged_login_is_not_set_again() -> None:
    """Its cookie ends when it did; one that has changed is sealed anew."""
    fields = [
        list(
            COOKIES.set_cookie_fields(
                Reply(page=Page.CODE, login=STATE), login=was, headers=headers(), had_session=False, now=400
            )
        )
        for was in (STATE, attrs.evolve(STATE, attempts_left=1), None)
    ]
    assert list(map(len, fields)) == [0, 1, 1]
