"""The key: imports that refuse, exports that are named, and nothing else that lets the private scalar out."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import pickle
import string
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry

from passwordless_async import DPoPKey, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = DPoPKey.generate()
JWK = KEY.to_jwk(private=True)
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

NOT_EC = "must be a mapping or the JSON text of an object, with kty EC and crv P-256"
NOT_PEM = "is not a private key in PEM form, or the password does not open it"
NOT_MATCHING = "x and y are not the public point of d"
NOT_SCALAR = "d is not a private key of P-256"


def b64(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(**changes: object) -> dict[str, object]:
    """Return a good private JWK but for some changes; None leaves a member out."""
    return {name: value for name, value in {**JWK, **changes}.items() if value is not None}


def dirty(value: str) -> str:
    """Return another text of 43 characters that decodes to the same 32 bytes: its unused bits are not zero."""
    return value[:-1] + ALPHABET[ALPHABET.index(value[-1]) | 1]


def pem(key: Any) -> bytes:
    """Return a private key of any kind as PEM."""
    encoded: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded


def refusal(call: Callable[..., object], *arguments: object) -> tuple[str, str]:
    """Return the argument and the message of a refusal."""
    with pytest.raises(UsageError) as refused:
        call(*arguments)
    return refused.value.argument, str(refused.value)


def test_the_public_export_has_four_members() -> None:
    """RFC 9449 §4.2, RFC 7518 §6.2.1: crv, kty, x, y of 43 characters each; joserfc reads the same key."""
    public = KEY.to_jwk()
    assert public.keys() == {"crv", "kty", "x", "y"}
    assert (public["kty"], public["crv"], len(public["x"]), len(public["y"])) == ("EC", "P-256", 43, 43)
    assert KEY.thumbprint == ECKey.import_key({**public}).thumbprint()


def test_the_private_export_says_so() -> None:
    """The private scalar is exported when it is asked for by name, and hides in a repr even then."""
    assert JWK.keys() == {"crv", "kty", "x", "y", "d"}
    assert KEY.to_jwk() == {name: value for name, value in JWK.items() if name != "d"}
    assert repr(JWK["d"]) == "<redacted>"
    assert json.loads(json.dumps(JWK)) == JWK


@settings(max_examples=50, deadline=None)
@given(st.integers(1, ORDER - 1))
def test_every_scalar_goes_round_through_a_jwk(scalar: int) -> None:
    """Every private scalar of the curve goes out and comes in again, leading zeros kept."""
    key = DPoPKey(ec.derive_private_key(scalar, ec.SECP256R1()))
    exported = key.to_jwk(private=True)
    assert {len(exported[name]) for name in ("x", "y", "d")} == {43}
    assert exported["d"] == b64(scalar.to_bytes(32))
    assert key == DPoPKey.from_jwk(exported) == DPoPKey.from_jwk(json.dumps(exported))


@pytest.mark.parametrize("scalar", [1, 2, 255, 2**128, ORDER - 1])
def test_scalars_at_the_edge_go_round(scalar: int) -> None:
    """The smallest and the largest private keys are keys."""
    key = DPoPKey(ec.derive_private_key(scalar, ec.SECP256R1()))
    assert DPoPKey.from_jwk(key.to_jwk(private=True)) == key


def test_other_members_of_a_jwk_are_tolerated() -> None:
    """RFC 7517 §4: members that are not understood are ignored, and they do not come back."""
    more = {"use": "sig", "kid": "1", "alg": "ES256", "key_ops": ["sign"], "ext": True}
    assert DPoPKey.from_jwk({**JWK, **more}).to_jwk(private=True) == JWK


@pytest.mark.parametrize(
    ("given_jwk", "problem"),
    [
        pytest.param(None, NOT_EC, id="None"),
        pytest.param(5, NOT_EC, id="a number"),
        pytest.param([], NOT_EC, id="a list"),
        pytest.param(b"{}", NOT_EC, id="bytes"),
        pytest.param("", NOT_EC, id="no text"),
        pytest.param("junk", NOT_EC, id="no JSON"),
        pytest.param("[]", NOT_EC, id="JSON but no object"),
        pytest.param('{"kty":"EC"', NOT_EC, id="JSON cut short"),
        pytest.param("[" * 100_000, NOT_EC, id="JSON too deep"),
        pytest.param(json.dumps(jwk(filler="x" * 5000)), NOT_EC, id="a text too long"),
        pytest.param({}, NOT_EC, id="no members"),
        pytest.param(jwk(kty=None), NOT_EC, id="no kty"),
        pytest.param(jwk(kty="ec"), NOT_EC, id="kty in another case"),
        pytest.param(jwk(kty="RSA"), NOT_EC, id="kty RSA"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0"}, NOT_EC, id="kty oct"),
        pytest.param(jwk(kty="OKP", crv="Ed25519"), NOT_EC, id="kty OKP"),
        pytest.param(jwk(crv=None), NOT_EC, id="no crv"),
        pytest.param(jwk(crv="P-384"), NOT_EC, id="another curve by name"),
        pytest.param(jwk(crv="secp256k1"), NOT_EC, id="another curve of the same length"),
        pytest.param(jwk(crv=["P-256"]), NOT_EC, id="crv a list"),
        pytest.param(ECKey.generate_key("P-384").as_dict(private=True), NOT_EC, id="a whole key of another curve"),
        *(
            pytest.param(jwk(**{name: value}), f"{name} must be 43 characters of base64url, without padding", id=label)
            for name in ("x", "y", "d")
            for value, label in (
                (None, f"{name} missing"),
                (5, f"{name} a number"),
                (["a"], f"{name} a list"),
                ("", f"{name} empty"),
                (JWK[name] + "=", f"{name} padded"),
                (JWK[name][:-1], f"{name} short"),
                (JWK[name] + "A", f"{name} long"),
                (JWK[name][:-1] + "+", f"{name} of the other base64"),
                (JWK[name][:-1] + " ", f"{name} with a space"),
                (JWK[name] + "\n", f"{name} with a line's end"),
                (JWK[name][:-1] + "é", f"{name} not ASCII"),
            )
        ),
        *(
            pytest.param(
                jwk(**{name: dirty(JWK[name])}),
                f"{name} must be the base64url of 32 bytes, its unused bits zero",
                id=f"{name} with unused bits set",
            )
            for name in ("x", "y", "d")
        ),
        pytest.param(jwk(d=b64(bytes(32))), NOT_SCALAR, id="d zero"),
        pytest.param(jwk(d=b64(ORDER.to_bytes(32))), NOT_SCALAR, id="d the order"),
        pytest.param(jwk(d=b64(b"\xff" * 32)), NOT_SCALAR, id="d above the order"),
        pytest.param(jwk(d=DPoPKey.generate().to_jwk(private=True)["d"]), NOT_MATCHING, id="d of another key"),
        pytest.param(jwk(x=b64(bytes(32))), NOT_MATCHING, id="off the curve"),
        pytest.param(jwk(x=JWK["y"], y=JWK["x"]), NOT_MATCHING, id="x and y changed places"),
        pytest.param(
            jwk(
                y=b64(
                    (
                        0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
                        - int.from_bytes(base64.urlsafe_b64decode(JWK["y"] + "="))
                    ).to_bytes(32)
                )
            ),
            NOT_MATCHING,
            id="the point's mirror image",
        ),
    ],
)
def test_jwks_refused(given_jwk: object, problem: str) -> None:
    """A JWK that is not exactly a private key of P-256 is refused, with the reason."""
    assert refusal(DPoPKey.from_jwk, given_jwk) == ("jwk", f"jwk: {problem}")


@settings(max_examples=200, deadline=None)
@given(st.text() | st.binary() | st.dictionaries(st.text(), st.text() | st.none() | st.integers()) | st.integers())
def test_no_jwk_raises_anything_else(given_jwk: object) -> None:
    """Whatever is passed for a JWK, the refusal is a UsageError that names it."""
    assert refusal(DPoPKey.from_jwk, given_jwk)[0] == "jwk"


def test_a_public_jwk_is_no_key_to_sign_with() -> None:
    """A JWK without d is refused by the name of the member."""
    assert refusal(DPoPKey.from_jwk, KEY.to_jwk()) == (
        "jwk",
        "jwk: d must be 43 characters of base64url, without padding",
    )


@pytest.mark.parametrize("password", [None, b"p", b"correct horse", b"x" * 1023])
def test_pem_goes_round(password: bytes | None) -> None:
    """A key goes out as PKCS #8 and comes in again, encrypted or, on purpose, not."""
    exported = KEY.to_pem(password)
    assert exported.startswith(
        b"-----BEGIN PRIVATE KEY-----" if password is None else b"-----BEGIN ENCRYPTED PRIVATE KEY-----"
    )
    assert DPoPKey.from_pem(exported, password) == KEY
    assert repr(exported) == "<redacted>"


def test_sec1_pem_is_read() -> None:
    """The older PEM form of an EC key, which OpenSSL's ecparam writes, is read too."""
    older = KEY._private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    assert older.startswith(b"-----BEGIN EC PRIVATE KEY-----")
    assert DPoPKey.from_pem(older) == KEY


@pytest.mark.parametrize(
    ("given_pem", "password", "problem"),
    [
        pytest.param(KEY.to_pem(b"right"), b"wrong", NOT_PEM, id="wrong password"),
        pytest.param(KEY.to_pem(b"right"), None, NOT_PEM, id="password missing"),
        pytest.param(KEY.to_pem(b"right"), b"", NOT_PEM, id="password empty"),
        pytest.param(KEY.to_pem(None), b"needless", NOT_PEM, id="needless password"),
        pytest.param(b"", None, NOT_PEM, id="empty"),
        pytest.param(b"junk", None, NOT_PEM, id="junk"),
        pytest.param(KEY.to_pem(None)[:100], None, NOT_PEM, id="cut short"),
        pytest.param(KEY.to_pem(None).replace(b"PRIVATE", b"PUBLIC"), None, NOT_PEM, id="mislabelled"),
        pytest.param(
            KEY._private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            ),
            None,
            NOT_PEM,
            id="public",
        ),
        pytest.param(pem(rsa.generate_private_key(65537, 2048)), None, "must hold a P-256 key", id="RSA"),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), None, "must hold a P-256 key", id="Ed25519"),
        pytest.param(pem(ec.generate_private_key(ec.SECP384R1())), None, "must hold a P-256 key", id="P-384"),
        pytest.param(pem(ec.generate_private_key(ec.SECP256K1())), None, "must hold a P-256 key", id="secp256k1"),
        pytest.param(b"x" * 16385, None, "must be at most 16384 bytes long", id="too long"),
        pytest.param(KEY.to_pem(None).decode(), None, "pem and password must be bytes", id="text"),
        pytest.param(KEY.to_pem(b"p"), "p", "pem and password must be bytes", id="password a text"),
        pytest.param(None, None, "pem and password must be bytes", id="None"),
    ],
)
def test_pem_refused(given_pem: object, password: object, problem: str) -> None:
    """A PEM that holds no P-256 key, or that its password does not open, is refused."""
    assert refusal(DPoPKey.from_pem, given_pem, password) == ("pem", f"pem: {problem}")


@pytest.mark.parametrize("password", ["text", b"", b"x" * 1024, 5, bytearray(b"x")])
def test_passwords_refused(password: object) -> None:
    """A password that cannot encrypt is refused; only None means no encryption."""
    assert refusal(KEY.to_pem, password) == ("password", "password: must be 1 to 1023 bytes, or None for no encryption")


@pytest.mark.parametrize(
    "private_key",
    [
        None,
        "key",
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256K1()),
        KEY._private.public_key(),
        rsa.generate_private_key(65537, 2048),
    ],
)
def test_other_keys_refused(private_key: object) -> None:
    """Only a private key of P-256 is taken from the hands of cryptography."""
    assert refusal(DPoPKey, private_key) == ("private_key", "private_key: must be a P-256 private key")


def test_a_private_key_of_another_class_is_used_whatever_its_repr_is() -> None:
    """Such as a class of the application's own, whose key is elsewhere."""
    key, abstract = ec.generate_private_key(ec.SECP256R1()), ec.EllipticCurvePrivateKey.__abstractmethods__
    members = {"curve": key.curve, "public_key": lambda _: key.public_key(), "__repr__": lambda _: "a key elsewhere"}
    elsewhere: Any = type("KeyElsewhere", (ec.EllipticCurvePrivateKey,), {**dict.fromkeys(abstract), **members})()
    assert DPoPKey(elsewhere).thumbprint == DPoPKey(key).thumbprint


def test_the_thumbprint_is_that_of_the_public_members() -> None:
    """RFC 7638 §3: SHA-256 over the required members in lexicographic order, without white space."""
    public = KEY.to_jwk()
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{public["x"]}","y":"{public["y"]}"}}'
    assert b64(hashlib.sha256(canonical.encode()).digest()) == KEY.thumbprint
    assert KEY.thumbprint is KEY.thumbprint


def test_keys_are_equal_by_their_point() -> None:
    """Two imports of one key are equal and of one hash; other keys and other things are not equal."""
    again = DPoPKey.from_jwk(JWK)
    other = DPoPKey.generate()
    assert again == KEY
    assert hash(KEY) == hash(again)
    assert KEY.thumbprint == again.thumbprint
    assert KEY != other  # noqa: SIM300 - the constant is what is tested
    assert len({KEY, again, other}) == 2
    assert KEY != KEY.thumbprint  # noqa: SIM300 - the constant is what is tested
    assert KEY.__eq__(None) is NotImplemented


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(protocol: int) -> None:
    """A key leaves the process by a named export alone, and the refusal names them."""
    with pytest.raises(TypeError) as refused:
        pickle.dumps({"key": KEY}, protocol)
    expected = "a DPoPKey is not pickled by accident: use to_pem(password), to_jwk(private=True) or to_bytes()"
    assert str(refused.value) == expected


@given(st.integers(1, ORDER - 1))
def test_the_compact_form_is_the_key(scalar: int) -> None:
    """32 bytes are the whole key: what is made of them signs, compares and exports as the key itself."""
    key = DPoPKey.from_bytes(scalar.to_bytes(32))
    assert scalar.to_bytes(32) == key.to_bytes()
    assert DPoPKey(ec.derive_private_key(scalar, ec.SECP256R1())) == key


def test_a_compact_key_holds_its_scalar_alone() -> None:
    """Compacting drops the live key and all that was made of it, and takes nothing away."""
    key = DPoPKey.generate()
    before = (key.thumbprint, key.header_segment, key.to_jwk(private=True), hash(key))
    key.compact()
    assert [key._live, key._point, key._header, key._prefix, key._thumbprint] == [None] * 5
    assert before == (key.thumbprint, key.header_segment, key.to_jwk(private=True), hash(key))


def test_a_compact_key_stays_compact_until_it_signs() -> None:
    """To compare, hash, name or print a key that rests does not make it live; to sign does."""
    key = DPoPKey.from_bytes(DPoPKey.generate().to_bytes())
    assert hash(key) == hash(DPoPKey.from_bytes(key.to_bytes()))
    assert key.thumbprint in repr(key)
    assert DPoPKey.from_jwk(key.to_jwk(private=True))._live is None
    assert key._live is None
    key.sign(b"message")
    assert key._live is not None


@pytest.mark.parametrize(
    "scalar",
    [b"", bytes(32), b"\1" * 31, b"\1" * 33, ORDER.to_bytes(32), b"\xff" * 32, "1" * 32, bytearray(32), None, 1],
)
def test_scalars_refused(scalar: object) -> None:
    """Zero, the order of the curve and beyond, another length and another type are refused by name."""
    expected = ("scalar", "scalar: must be the 32 bytes of a P-256 private key")
    assert refusal(DPoPKey.from_bytes, scalar) == expected


def test_a_copy_is_the_key() -> None:
    """A key never changes, so copying what holds one shares it."""
    assert copy.copy(KEY) is KEY
    assert copy.deepcopy([KEY])[0] is KEY


def test_the_repr_is_public() -> None:
    """A key prints as its thumbprint."""
    assert repr(KEY) == str(KEY) == f"<DPoPKey {KEY.thumbprint}>"


def test_key_takes_no_attributes() -> None:
    """A key has no dictionary that could be filled or printed."""
    with pytest.raises(AttributeError):
        KEY.note = "x"  # type: ignore[attr-defined] # the mistake


def test_generated_keys_differ() -> None:
    """A thousand new keys are a thousand keys."""
    assert len({DPoPKey.generate().thumbprint for _ in range(1000)}) == 1000


def test_the_header_segment_is_public() -> None:
    """The header of a proof is made of typ, alg and the four public members, and made once."""
    header = json.loads(base64.urlsafe_b64decode(KEY.header_segment + "=="))
    assert header == {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.to_jwk()}
    assert KEY.header_segment is KEY.header_segment


def test_a_signature_is_64_bytes_that_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7518 §3.4: r and s in 32 bytes each, leading zeros kept; deterministic here, so that some have."""
    deterministic = ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True)
    monkeypatch.setattr("passwordless_async.dpop.key._ES256", deterministic)
    key = DPoPKey(ec.derive_private_key(0xC0FFEE, ec.SECP256R1()))
    oracle = ECKey.import_key({**key.to_jwk()})
    algorithm = JWSRegistry(algorithms=["ES256"]).get_alg("ES256")
    messages = [str(number).encode() for number in range(2000)]
    signatures = [key.sign(message) for message in messages]
    assert {len(signature) for signature in signatures} == {64}
    assert any(signature[0] == 0 for signature in signatures)
    assert any(signature[32] == 0 for signature in signatures)
    assert all(algorithm.verify(m, s, oracle) for m, s in zip(messages, signatures, strict=True))


def test_signatures_are_not_repeated() -> None:
    """Out of the tests the nonce of a signature is random: one message has many signatures."""
    assert len({KEY.sign(b"message") for _ in range(10)}) == 10
