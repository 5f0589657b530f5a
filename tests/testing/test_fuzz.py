"""Any input at all: no request ends in a 500, and tenant and verifier agree on every proof."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from yarl import URL

from helpers.tenant_wire import ADA, OTP_GRANT, Wire
from passwordless_async import DPoPKey
from passwordless_async.dpop import token_hash
from passwordless_async.testing import BOUND_API
from passwordless_async.testing.endpoints.application import _ENDPOINTS
from passwordless_async.testing.grants import GRANTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from helpers.tenant_wire import Opener

SEEDS = range(4)
REQUESTS = 150  # a seed
PROOFS = 250
SETTINGS = [{}, {"nonce_replaces_iat": True, "mfa_policy": "always", "web_origins": ["null"]}]
NASTY: list[Any] = [
    None, True, False, 0, -1, 1.5, 1e300, 10**400, -(10**400), float("nan"), float("inf"), "", " ", "x", "\x00",
    "\ud800", "é" * 70, "Kelvin \u212a", [], ["a"], [None], [[[]]], {}, {"a": None}, {"$ne": 1}, "a" * 5000,
]  # fmt: skip
NAMES = [
    "client_id", "client_secret", "client_assertion", "client_assertion_type", "connection", "email", "phone_number",
    "send", "authParams", "captcha", "grant_type", "username", "otp", "realm", "scope", "audience", "resource", "code",
    "redirect_uri", "code_verifier", "refresh_token", "auth_session", "mfa_token", "oob_code", "binding_code", "token",
    "recovery_code", "challenge_type", "authenticator_id", "authenticator_types", "oob_channels", "allow_signup",
    "delivery_method",
]  # fmt: skip
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def segment(part: object) -> str:
    """Encode a part of a JWT: bytes as they are, everything else as JSON."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def jws(key: DPoPKey, header: object, claims: object) -> str:
    """Sign anything."""
    signing_input = f"{segment(header)}.{segment(claims)}"
    return f"{signing_input}.{segment(key.sign(signing_input.encode()))}"


class Fuzzer:
    """Draws requests and proofs; the same ones for the same seed."""

    def __init__(self, seed: int, wire: Wire) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.wire = wire
        self.key = DPoPKey.generate()

    def raw_json(self, value: object) -> bytes:
        """Write JSON, and now and then something near it."""
        text = json.dumps(value)
        changes: list[Callable[[], bytes]] = [
            text.encode,
            text.encode,
            text.encode,
            lambda: text.encode("utf-16"),
            lambda: b"\xef\xbb\xbf" + text.encode(),
            lambda: b" " + text.encode() + b"\n",
            lambda: text.encode() + b"\x0b",
            lambda: text.replace("{", '{"jti":"first",', 1).encode(),
            lambda: text.replace("{", '{"typ":"first",', 1).encode(),
            lambda: b"[" * self.chance.randrange(1, 1200),
            lambda: b'{"a":' * 300 + b"1" + b"}" * 300,
            lambda: text.encode()[: self.chance.randrange(len(text) + 1)],
            lambda: b"",
            lambda: b'"text"',
        ]
        return self.chance.choice(changes)()

    def nasty(self) -> Any:
        return self.chance.choice(NASTY)

    def assertion(self) -> str:
        now = int(time.time())
        claims = {"iss": "private-key-jwt-client", "sub": "private-key-jwt-client", "exp": now + 60, "jti": "1"}
        claims |= {"aud": self.wire.tenant.issuer, self.chance.choice([*claims, "nbf"]): self.nasty()}
        header = {"alg": "ES256", self.chance.choice(["alg", "kid", "crit", "typ"]): self.nasty()}
        return jws(self.key, self.raw_json(header), self.raw_json(claims))

    def value(self, name: str) -> Any:
        """Draw a parameter's value: a right one, or a nasty one."""
        tenant = self.wire.tenant
        right: dict[str, list[Any]] = {
            "client_id": [tenant.public_client_id, *tenant.confidential_client, "private-key-jwt-client", "tls-client"],
            "client_secret": [tenant.confidential_client.secret],
            "client_assertion": [self.assertion()],
            "client_assertion_type": [JWT_BEARER],
            "connection": ["email", "sms", "Username-Password-Authentication"],
            "grant_type": list(GRANTS),
            "username": [ADA.address, ADA.address.upper()],
            "email": [ADA.address],
            "phone_number": ["+4930901820"],
            "realm": ["email", "sms"],
            "audience": [BOUND_API],
            "scope": ["openid offline_access"],
            "send": ["code", "link"],
            "authParams": [{self.chance.choice(NAMES): self.nasty(), "scope": self.nasty()}],
            "authenticator_types": [["otp"], ["oob"]],
            "oob_channels": [["sms"]],
        }
        return self.chance.choice(right.get(name, ["123456"])) if self.chance.random() < 0.7 else self.nasty()

    def headers(self, path: str) -> list[tuple[str, str]]:
        nonsense = [
            "",
            "DPoP",
            "DPoP ",
            "dpop  x",
            "Bearer",
            "Bearer x",
            "Basic",
            "Basic Og==",
            "Basic \u00e9",
            "x y z",
        ]
        drawn = [("Authorization", self.chance.choice(nonsense))] * self.chance.choice([0, 0, 1, 1, 2])
        drawn += [("DPoP", self.proof("POST", path)[0])] * self.chance.choice([0, 1, 1, 2])
        others = [
            ("auth0-forwarded-for", "999.1.1.1"),
            ("x-request-language", "\u00e9 de"),
            ("Origin", "null"),
            (
                "Host",
                self.chance.choice(["", "localhost:99999", "[::1", "[1:2]", "a b", "127.0.0.1:80", "\u212aelvin"]),
            ),
            ("Content-Encoding", "gzip"),
            ("Access-Control-Request-Method", "POST"),
        ]
        return drawn + self.chance.sample(others, self.chance.choice([0, 0, 1, 2]))

    def proof(self, method: str, path: str, access_token: str | None = None) -> tuple[str, dict[str, Any]]:
        """Draw a proof that is right but for some members, or for its spelling."""
        url = self.wire.tenant.url + path
        claims: dict[str, Any] = {"jti": str(self.chance.randrange(10**9)), "htm": method, "htu": url}
        claims["iat"] = int(time.time())
        if access_token is not None:
            claims["ath"] = token_hash(access_token)
        header: dict[str, Any] = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.to_jwk()}
        now = time.time()
        near = [
            now - 60, now + 10, now - 61, now + 10.5, url + "?x=\x00", url + "#\u00e9", url.upper(), f"{url}/",
            "1" * 257, url.replace("127", "%31%32%37"), url.replace("/oauth", "/./a/../oauth"), f"{url}%zz",
            url.replace("http://", "http://u@"), f"{url}%2f", "text", [], ["a"], method.lower(), "jti",
            {"a": "b" * 2500},
        ]  # fmt: skip
        for _ in range(self.chance.choice([0, 0, 1, 1, 2])):
            part, names = self.chance.choice([
                (header, ["typ", "alg", "jwk", "crit", "b64", "kid", "x5c", "x5t#S256", "jku", "more"]),
                (header["jwk"] if isinstance(header["jwk"], dict) else {}, ["x", "y", "kty", "crv", "d", "kid", "use"]),
                (claims, ["jti", "htm", "htu", "iat", "exp", "nbf", "ath", "more"]),
            ])  # fmt: skip
            part[self.chance.choice(names)] = self.chance.choice([self.nasty(), self.chance.choice(near)])
        odd = self.chance.random() < 0.3
        parts = [self.raw_json(part) if odd else json.dumps(part).encode() for part in (header, claims)]
        text = jws(self.key, *parts)
        if self.chance.random() < 0.15:
            at = self.chance.randrange(len(text))
            text = text[:at] + self.chance.choice(["", ".", "=", "+", "A", "é", " ", ","]) + text[at + 1 :]
        return text, claims


async def send_raw(wire: Wire, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> int:
    """Send any bytes as header fields, which aiohttp's client does not, and return the status."""
    own = URL(wire.tenant.url)
    named = [*headers, ("Content-Length", str(len(body))), ("Connection", "close")]
    if not any(name == "Host" for name, _ in headers):
        named.append(("Host", own.authority))
    fields = "".join(f"{name}: {value}\r\n" for name, value in named)
    reader, writer = await asyncio.open_connection(own.host, own.port)
    writer.write(f"{method} {path} HTTP/1.1\r\n{fields}\r\n".encode("utf-8", "surrogatepass") + body)
    answer = await reader.read()
    writer.close()
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("settings", SETTINGS)
async def test_no_request_ends_in_a_500(wire_for: Opener, seed: int, settings: dict[str, Any]) -> None:
    """Every request gets a response of the tenant's own: a success or a refusal that it means."""
    wire = await wire_for(**settings)
    fuzzer = Fuzzer(seed, wire)
    meant = {200, 204, 302, 400, 401, 403, 404, 405, 413, 429, 501}
    for _ in range(REQUESTS):
        path = fuzzer.chance.choice([*_ENDPOINTS, *["/oauth/token"] * 3, "/userinfo", "/nowhere", "/%ff?%ff=%ff"])
        method = fuzzer.chance.choice(["POST", "POST", "POST", "GET", "OPTIONS", "PUT"])
        members = {name: fuzzer.value(name) for name in fuzzer.chance.sample(NAMES, fuzzer.chance.randrange(10))}
        members |= {name: fuzzer.value(name) for name in ("client_id", "grant_type", "connection", "email")}
        kind, body = "application/json", fuzzer.raw_json(members)
        if fuzzer.chance.random() < 0.4:
            form = {name: str(value) for name, value in members.items()}
            kind, body = "application/x-www-form-urlencoded", urlencode(form, errors="surrogatepass").encode()
        headers = [*fuzzer.headers(path.partition("?")[0]), ("Content-Type", kind)]

        status = await send_raw(wire, method, path, headers, body)

        assert status in meant, (method, path, headers, body)
        assert wire.tenant.disagreements == ()


@pytest.mark.parametrize("seed", SEEDS)
async def test_tenant_and_verifier_agree_on_every_proof(wire: Wire, seed: int) -> None:
    """At the token endpoint and at a resource, with right and wrong members, spellings, and proofs that come twice."""
    fuzzer = Fuzzer(seed, wire)
    client_id, secret = wire.tenant.confidential_client
    form = {"grant_type": OTP_GRANT, "client_id": client_id, "client_secret": secret, "otp": "0", "realm": "email"}
    for _ in range(PROOFS):
        token = fuzzer.chance.choice([None, "token"])
        path = "/oauth/token" if token is None else "/userinfo"
        proof, claims = fuzzer.proof("POST", path, token)
        for _ in range(fuzzer.chance.choice([1, 1, 2])):
            headers = [("DPoP", proof), ("Content-Type", "application/x-www-form-urlencoded")]
            headers += [] if token is None else [("Authorization", f"DPoP {token}")]
            await send_raw(wire, "POST", path, headers, urlencode({**form, "username": ADA.address}).encode())
            assert wire.tenant.disagreements == (), (proof, claims)
    assert wire.tenant.stats.proofs_accepted > PROOFS // 10
    assert wire.tenant.stats.proofs_refused > PROOFS // 10
