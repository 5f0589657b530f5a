"""Proofs: to the letter, and against joserfc as the oracle."""

from __future__ import annotations

import base64
import enum
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey
from yarl import URL

from passwordless_async import DPoPKey, ProofGenerator, UsageError
from passwordless_async._common import clock as _clock
from passwordless_async.dpop import htu, token_hash

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = DPoPKey.generate()
ORACLE = ECKey.import_key({**KEY.to_jwk(private=True)})
TOKEN_URL = "https://tenant.example/oauth/token"
NQCHAR = "".join(chr(c) for c in range(0x21, 0x7F) if c not in (0x22, 0x5C))
TCHAR = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
NOT_A_URL = "must be an absolute http or https URL"


def fixed(iat: float = 1_562_262_616, jti: str = "jti") -> ProofGenerator:
    """Return a generator of proofs that differ in their signature alone."""
    return ProofGenerator(KEY, clock=lambda: iat, jti=lambda: jti)


def segment(proof: str, index: int) -> dict[str, Any]:
    """Decode a segment of a proof: 0 the header, 1 the claims."""
    text = proof.split(".")[index]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return decoded


def test_header_and_claims_of_a_token_request() -> None:
    """Rule 1, RFC 9449 §4.2: typ, alg and jwk in the header; jti, htm, htu and iat in the claims; no more of either."""
    proof = fixed().proof("POST", TOKEN_URL)
    assert segment(proof, 0) == {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.to_jwk()}
    assert segment(proof, 1) == {"jti": "jti", "htm": "POST", "htu": TOKEN_URL, "iat": 1_562_262_616}


def test_the_private_scalar_is_in_no_byte() -> None:
    """RFC 9449 §4.2: the jwk has four members and never d, in whatever spelling."""
    proof = fixed().proof("POST", TOKEN_URL, nonce="n", access_token="t")
    assert segment(proof, 0)["jwk"].keys() == {"crv", "kty", "x", "y"}
    private = KEY.to_jwk(private=True)["d"]
    scalar = base64.urlsafe_b64decode(private + "=")
    sent = proof.encode() + b"".join(base64.urlsafe_b64decode(part + "==") for part in proof.split("."))
    assert private.encode() not in sent
    assert scalar not in sent
    assert scalar.hex().encode() not in sent


def test_a_proof_is_three_segments_without_padding() -> None:
    """RFC 7515 §7.1: the compact form is base64url without padding, and fits a header field."""
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}", fixed().proof("POST", TOKEN_URL))


@pytest.mark.parametrize("method", ["GET", "POST", "get", "Post", "M-SEARCH", TCHAR[:64], "a"])
def test_the_method_keeps_its_case(method: str) -> None:
    """RFC 9449 §4.2: htm is the method as it is sent; its case counts."""
    assert segment(fixed().proof(method, TOKEN_URL), 1)["htm"] == method


@pytest.mark.parametrize(
    "method", ["", "GE T", "GET\r\n", "GET\n", 'G"T', "G\\T", "é", "\0", "G" * 65, "GET,POST", None, b"GET", 5]
)
def test_methods_refused(method: Any) -> None:
    """RFC 9110 §9.1: a method is a token; nothing else can be smuggled into the claims."""
    with pytest.raises(UsageError) as refused:
        fixed().proof(method, TOKEN_URL)
    assert (refused.value.argument, str(refused.value)) == ("method", "method: must be an HTTP method")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://tenant.example/oauth/token", "https://tenant.example/oauth/token"),
        ("HTTPS://Tenant.EXAMPLE/oauth/Token", "https://tenant.example/oauth/Token"),
        ("https://tenant.example:443/a", "https://tenant.example/a"),
        ("http://tenant.example:80/a", "http://tenant.example/a"),
        ("https://tenant.example:8443/a", "https://tenant.example:8443/a"),
        ("http://tenant.example:443/a", "http://tenant.example:443/a"),
        ("https://tenant.example/a?b=c#d", "https://tenant.example/a"),
        ("https://tenant.example/a?", "https://tenant.example/a"),
        ("https://tenant.example/a#", "https://tenant.example/a"),
        ("https://tenant.example", "https://tenant.example/"),
        ("https://tenant.example?a=b", "https://tenant.example/"),
        ("https://tenant.example/a/", "https://tenant.example/a/"),
        ("https://tenant.example//a//", "https://tenant.example//a//"),
        ("https://tenant.example/a/../b/./c", "https://tenant.example/b/c"),
        ("https://user:password@tenant.example/a", "https://tenant.example/a"),
        ("https://tenant.example/%40%3A%3a%3B%21%2C%26%3D", "https://tenant.example/@::;!,&="),
        ("https://tenant.example/%2F%2f%2B%25%20", "https://tenant.example/%2F%2F%2B%25%20"),
        ("https://tenant.example/%7Ea%c3%bc", "https://tenant.example/~a%C3%BC"),
        ("https://tenant.example/ü b", "https://tenant.example/%C3%BC%20b"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("http://127.0.0.1:8080/oauth/token", "http://127.0.0.1:8080/oauth/token"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("https://[2001:DB8::1]/a", "https://[2001:db8::1]/a"),
    ],
)
def test_htu_is_what_goes_on_the_wire(url: str, expected: str) -> None:
    """RFC 9449 §4.2, rule 5: htu is the URL as yarl sends it, without query and fragment."""
    sent = URL(url)
    assert expected == f"{sent.scheme}://{sent.host_port_subcomponent}{sent.raw_path}"
    assert [
        htu(url),
        htu(sent),
        segment(fixed().proof("GET", url), 1)["htu"],
        segment(fixed().proof("GET", sent), 1)["htu"],
    ] == [expected] * 4


def test_htu_of_a_url_that_is_sent_as_it_is() -> None:
    """A URL that its caller has encoded is sent as it is, and htu says the same."""
    assert htu(URL("https://tenant.example/%40%7E", encoded=True)) == "https://tenant.example/%40%7E"


@settings(max_examples=300, deadline=None)
@given(path=st.text(max_size=30), query=st.text(max_size=10))
def test_htu_of_any_path_is_its_wire_form(path: str, query: str) -> None:
    """Whatever the path, htu is the origin and the path that yarl sends."""
    url = URL.build(scheme="https", host="tenant.example", port=8443, path="/" + path, query={"q": query})
    assert htu(url) == f"https://tenant.example:8443{url.raw_path}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/oauth/token",
        "tenant.example/oauth/token",
        "//tenant.example/oauth/token",
        "https://",
        "https:///oauth/token",
        "https:tenant.example",
        "ftp://tenant.example/",
        "wss://tenant.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://tenant.example:99999/",
        "https://tenant.example:x/",
        "https://[::1/",
        "https://[zz]/",
        URL("/oauth/token"),
        URL("ftp://tenant.example/"),
    ],
)
def test_urls_refused(url: str | URL) -> None:
    """Only an absolute http or https URL has an htu."""
    for make in (htu, lambda url: fixed().proof("GET", url)):
        with pytest.raises(UsageError) as refused:
            make(url)
        assert (refused.value.argument, str(refused.value)) == ("url", f"url: {NOT_A_URL}")


@pytest.mark.parametrize(
    ("url", "kind"), [(None, "NoneType"), (5, "int"), (b"https://tenant.example/", "bytes"), ([], "list"), ({}, "dict")]
)
def test_other_types_are_no_url(url: Any, kind: str) -> None:
    """The error names the type; htu refuses them too."""
    with pytest.raises(UsageError) as refused:
        fixed().proof("GET", url)
    assert (refused.value.argument, str(refused.value)) == ("url", f"url: must be a str or a URL, not {kind}")
    with pytest.raises(UsageError) as refused:
        htu(url)
    assert (refused.value.argument, str(refused.value)) == ("url", f"url: {NOT_A_URL}")


@pytest.mark.parametrize("now", [1_562_262_616, 1_562_262_616.0, 1_562_262_616.999])
def test_iat_is_whole_seconds(now: float) -> None:
    """Rule 2: iat is an integer of seconds, cut and not rounded: a proof is never from the future."""
    iat = segment(fixed(now).proof("POST", TOKEN_URL), 1)["iat"]
    assert (iat, type(iat)) == (1_562_262_616, int)


def test_ath_is_the_hash_of_the_access_token() -> None:
    """RFC 9449 §4.2: ath is base64url(SHA-256(access token)), without padding."""
    expected = base64.urlsafe_b64encode(hashlib.sha256(b"token").digest()).rstrip(b"=").decode()
    assert expected == token_hash("token") == segment(fixed().proof("GET", TOKEN_URL, access_token="token"), 1)["ath"]


def test_ath_follows_the_token() -> None:
    """The hash that is kept is that of the token at hand, and only where there is one."""
    proofs = fixed()
    tokens = ["a", "b", "b", "a", None, "a"]
    hashes = [segment(proofs.proof("GET", TOKEN_URL, access_token=token), 1).get("ath") for token in tokens]
    assert hashes == [None if token is None else token_hash(token) for token in tokens]


@pytest.mark.parametrize("access_token", ["", "é", b"token", 5, True, ["token"]])
def test_access_tokens_refused(access_token: Any) -> None:
    """RFC 9449 §4.2: ath hashes the ASCII encoding; a token that has none is refused by both functions."""
    calls: tuple[Callable[[], object], ...] = (
        lambda: token_hash(access_token),
        lambda: fixed().proof("GET", TOKEN_URL, access_token=access_token),
    )
    for call in calls:
        with pytest.raises(UsageError) as refused:
            call()
        assert (
            refused.value.argument,
            str(refused.value),
        ) == ("access_token", "access_token: must be a non-empty ASCII str")


@pytest.mark.parametrize("nonce", [NQCHAR, "eyJ7S_zG.eyJH0-Z.HX4w-7v", "a"])
def test_a_nonce_is_repeated_to_the_letter(nonce: str) -> None:
    """RFC 9449 §8: the nonce stands in the claims as it was given."""
    assert segment(fixed().proof("POST", TOKEN_URL, nonce=nonce), 1)["nonce"] == nonce


@pytest.mark.parametrize(("nonce", "kind"), [(5, "int"), (b"n", "bytes"), (["n"], "list")])
def test_nonces_refused(nonce: Any, kind: str) -> None:
    """A nonce is a text."""
    with pytest.raises(UsageError) as refused:
        fixed().proof("POST", TOKEN_URL, nonce=nonce)
    assert (refused.value.argument, str(refused.value)) == ("nonce", f"nonce: must be a str, not {kind}")


@pytest.mark.parametrize(
    ("key", "kind"), [(None, "NoneType"), ({"kty": "EC"}, "dict"), ("{}", "str"), (ORACLE, "ECKey")]
)
def test_keys_refused(key: Any, kind: str) -> None:
    """Proofs are made with a DPoPKey."""
    with pytest.raises(UsageError) as refused:
        ProofGenerator(key)
    assert (refused.value.argument, str(refused.value)) == ("key", f"key: must be a DPoPKey, not {kind}")


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    method=st.text(TCHAR, min_size=1, max_size=20),
    host=st.sampled_from(["tenant.example", "127.0.0.1:8080", "[::1]:8443"]),
    path=st.text(max_size=20),
    nonce=st.none() | st.text(NQCHAR, min_size=1, max_size=40) | st.text(max_size=10),
    access_token=st.none() | st.text(st.characters(codec="ascii"), min_size=1, max_size=40),
    iat=st.integers(0, 4_102_444_800),
    jti=st.text(min_size=1, max_size=30),
)
@example("GET", "tenant.example", '"\\', '"\\\b\f\n\r\t\x00\x7f\u2028', "t", 0, '\x00"')
def test_joserfc_makes_and_reads_the_same_proof(
    method: str, host: str, path: str, nonce: str | None, access_token: str | None, iat: int, jti: str
) -> None:
    """The fast path and joserfc make the same header and claims, and each reads and verifies the other's."""
    url = URL.build(scheme="https", authority=host, path="/" + path)
    claims: dict[str, Any] = {"jti": jti, "htm": method, "htu": htu(url), "iat": iat}
    if access_token is not None:
        claims["ath"] = token_hash(access_token)
    if nonce is not None:
        claims["nonce"] = nonce
    ours = fixed(iat, jti).proof(method, url, nonce=nonce, access_token=access_token)
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.to_jwk()}
    theirs = jwt.encode(header, claims, ORACLE, algorithms=["ES256"])
    for proof in (ours, theirs):
        read = jwt.decode(proof, ORACLE, algorithms=["ES256"])
        assert (dict(read.header), read.claims) == (header, claims)
        assert (segment(proof, 0), segment(proof, 1)) == (header, claims)


def test_a_thousand_proofs_verify() -> None:
    """RFC 7518 §3.4: of a thousand proofs each signature is 64 bytes and verifies, and no two are the same."""
    proofs = [ProofGenerator(KEY).proof("POST", TOKEN_URL) for _ in range(1000)]
    assert {len(proof.rpartition(".")[2]) for proof in proofs} == {86}
    assert {jwt.decode(proof, ORACLE, algorithms=["ES256"]).claims["htu"] for proof in proofs} == {TOKEN_URL}
    assert len({proof.rpartition(".")[2] for proof in proofs}) == 1000
    assert len({segment(proof, 1)["jti"] for proof in proofs}) == 1000


def test_a_proof_verifies_with_its_own_key_alone() -> None:
    """Another key's signature does not pass for this one's."""
    proof = fixed().proof("POST", TOKEN_URL)
    with pytest.raises(BadSignatureError):
        jwt.decode(proof, ECKey.import_key({**DPoPKey.generate().to_jwk()}), algorithms=["ES256"])


def test_unique_ids_have_128_bits() -> None:
    """RFC 9449 §4.2: jti has 96 random bits or more; here 22 characters of base64url, and none comes twice."""
    ids = [_clock.unique_id() for _ in range(10_000)]
    assert len(set(ids)) == 10_000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", text) for text in ids)
    assert {len(base64.urlsafe_b64decode(text + "==")) for text in ids} == {16}
    # Each of the 22 places varies: nothing in an id is a counter or a constant.
    assert all(len({text[place] for text in ids}) > 3 for place in range(22))


def test_a_generator_draws_anew_for_every_proof() -> None:
    """Rule 3: jti and iat are drawn once for every proof."""
    drawn: list[str] = []

    def source(name: str, values: list[Any]) -> Callable[[], Any]:
        def draw() -> Any:
            drawn.append(name)
            return values.pop(0)

        return draw

    proofs = ProofGenerator(KEY, clock=source("iat", [1.0, 2.0]), jti=source("jti", ["a", "b"]))
    claims = [segment(proofs.proof("POST", TOKEN_URL), 1) for _ in range(2)]
    assert [(claim["jti"], claim["iat"]) for claim in claims] == [("a", 1), ("b", 2)]
    assert sorted(drawn) == ["iat", "iat", "jti", "jti"]


def test_the_clock_is_the_systems_unless_given() -> None:
    """Without a clock of the caller's own, iat and jti come from the one module that reads them."""
    before = int(_clock.now())
    claims = segment(ProofGenerator(KEY).proof("POST", TOKEN_URL), 1)
    assert before <= claims["iat"] <= _clock.now()
    assert len(claims["jti"]) == 22


def test_the_repr_is_public() -> None:
    """A generator prints as its key's thumbprint, and not the token it has hashed."""
    proofs = fixed()
    proofs.proof("GET", TOKEN_URL, access_token="marker")
    assert repr(proofs) == f"<ProofGenerator {KEY.thumbprint}>"
    assert proofs.key is KEY


def test_a_method_of_an_enum_is_its_text() -> None:
    """A str enum equals its text and prints as something else: the proof has the text, and so has everybody's next."""

    class Method(str, enum.Enum):  # noqa: UP042 - a StrEnum prints as its text
        QUERY = "QUERY"

    proofs = ProofGenerator(DPoPKey.generate())
    for method in (Method.QUERY, "QUERY"):
        payload = proofs.proof(method, "https://api.example/").split(".")[1]
        assert json.loads(base64.urlsafe_b64decode(payload + "=="))["htm"] == "QUERY"
