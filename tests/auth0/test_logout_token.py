"""The logout token: one that is good, and everything that is wrong with others."""

from __future__ import annotations

import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from passwordless_async import InvalidLogoutToken, LogoutToken, NoClientAuth
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.application import Application
from passwordless_async.auth0.clocks import Clocks
from passwordless_async.auth0.jwks import SigningKey
from passwordless_async.auth0.logout_token import EVENT, read_logout_header, read_logout_token

NOW = time.time()
APPLICATION = Application("acme.eu.auth0.com", "client", NoClientAuth())
KEY = RSAKey.generate_key(2048)
CLAIMS = {
    "iss": "https://acme.eu.auth0.com/",
    "aud": "client",
    "iat": int(NOW),
    "exp": int(NOW) + 120,
    "jti": "one",
    "events": {EVENT: {}},
    "sub": "email|ada",
    "sid": "session",
}


def signed(key: RSAKey = KEY, *, typ: str | None = "logout+jwt", alg: str = "RS256", **changes: Any) -> Secret:
    """Return a token with good claims but for some changes; ... leaves a claim out."""
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}
    header = {"alg": alg, "kid": "k1", **({} if typ is None else {"typ": typ})}
    return Secret(jwt.encode(header, claims, key, algorithms=[alg]))


def read(token: Secret) -> LogoutToken:
    header = read_logout_header(token, APPLICATION)
    return read_logout_token(token, header, SigningKey(KEY, ("RS256", "PS256")), APPLICATION, Clocks(NOW))


@pytest.mark.parametrize("typ", [None, "JWT", "logout+jwt", "LOGOUT+JWT", "application/logout+jwt"])
def test_good_ones(typ: str | None) -> None:
    """The recommended type, and the one that providers had before."""
    logout = read(signed(typ=typ))
    assert (logout.sub, logout.sid, logout.jti) == ("email|ada", "session", "one")
    assert 120 < logout.expires_in < 300
    assert not any(value in repr(logout) for value in ("ada", "session", "one"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sid": ...}, ("email|ada", None)),
        ({"sub": ...}, (None, "session")),
        ({"events": {EVENT: {"reason": "x"}, "other": {}}}, ("email|ada", "session")),
        ({"aud": ["client"]}, ("email|ada", "session")),
        ({"more": 1}, ("email|ada", "session")),
        ({"sub": "a"}, ("a", "session")),
        ({"sid": "s" * 512}, ("email|ada", "s" * 512)),
    ],
)
def test_what_may_differ(changes: dict[str, Any], expected: tuple[str | None, str | None]) -> None:
    """One of sub and sid is enough (§2.4); further events and claims do no harm."""
    logout = read(signed(**changes))
    assert (logout.sub, logout.sid) == expected


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"iss": "https://evil.example/"}, "iss"),
        ({"iss": ...}, "iss"),
        ({"aud": "another"}, "aud"),
        ({"aud": ["client", "another"]}, "azp"),
        ({"aud": ...}, "aud"),
        ({"iat": ...}, "iat"),
        ({"iat": int(NOW) + 61}, "iat"),
        ({"exp": ...}, "exp"),
        ({"exp": int(NOW) - 61}, "exp"),
        ({"exp": int(NOW) + 86_402}, "exp"),
        ({"exp": "120"}, "exp"),
        ({"nonce": "n"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"events": ...}, "events"),
        ({"events": {}}, "events"),
        ({"events": {EVENT: True}}, "events"),
        ({"events": {EVENT: None}}, "events"),
        ({"events": [EVENT]}, "events"),
        ({"events": EVENT}, "events"),
        ({"events": {"http://schemas.openid.net/event/other": {}}}, "events"),
        ({"jti": ...}, "jti"),
        ({"jti": ""}, "jti"),
        ({"jti": 5}, "jti"),
        ({"jti": "x" * 513}, "jti"),
        ({"sub": ..., "sid": ...}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sid": 5}, "sid"),
        ({"sid": None}, "sid"),
    ],
)
def test_refused_claims(changes: dict[str, Any], claim: str) -> None:
    """§2.6: each check has its claim."""
    with pytest.raises(InvalidLogoutToken) as refused:
        read(signed(**changes))
    assert refused.value.claim == claim
    assert "ada" not in str(refused.value)


@pytest.mark.parametrize(
    ("token", "claim"),
    [
        (Secret(""), "header"),
        (Secret("x.y.z"), "header"),
        (signed(typ="at+jwt"), "typ"),
        (signed(typ="dpop+jwt"), "typ"),
        (signed(RSAKey.generate_key(2048)), "signature"),
        (signed(alg="RS512"), "alg"),
        (Secret(f"{signed()}x"), "signature"),
        (Secret(signed().rpartition(".")[0] + "."), "signature"),
    ],
)
def test_refused_tokens(token: Secret, claim: str) -> None:
    """Other kinds of tokens, and signatures that are not the tenant's."""
    with pytest.raises(InvalidLogoutToken) as refused:
        read(token)
    assert refused.value.claim == claim


def test_an_unknown_key() -> None:
    """No key that is not in the key set is tried."""
    header = read_logout_header(signed(), APPLICATION)
    with pytest.raises(InvalidLogoutToken, match="kid"):
        read_logout_token(signed(), header, None, APPLICATION, Clocks(NOW))


def test_a_key_for_another_algorithm() -> None:
    """The error names the algorithm, not the signature, which was not looked at (RFC 7517 §4.4)."""
    header = read_logout_header(signed(), APPLICATION)
    with pytest.raises(InvalidLogoutToken, match="alg: is not an algorithm of the key"):
        read_logout_token(signed(), header, SigningKey(KEY, ("PS256",)), APPLICATION, Clocks(NOW))


@pytest.mark.parametrize("skew", [0.0, 5.0, 60.0])
def test_a_logout_token_is_remembered_while_any_machine_accepts_it(skew: float) -> None:
    """One whose clock is as late as the leeway allows, after one whose clock is early; and a second for rounding."""
    token = signed()
    header = read_logout_header(token, APPLICATION)
    logout = read_logout_token(token, header, SigningKey(KEY, ("RS256",)), APPLICATION, Clocks(NOW, skew=skew))
    assert logout.expires_in == pytest.approx(int(NOW) + 120 + 2 * skew + 1 - NOW)


@pytest.mark.parametrize(("seconds", "is_accepted"), [(86_400, True), (86_401, False)])
def test_a_logout_token_lives_a_day_at_most(seconds: int, *, is_accepted: bool) -> None:
    """Its identifier is remembered for so long."""
    token = signed(exp=CLAIMS["iat"] + seconds)  # type: ignore[operator] # a number
    if is_accepted:
        assert read(token).expires_in > 86_000
        return
    with pytest.raises(InvalidLogoutToken, match="exp: is more than a day after iat"):
        read(token)
