"""What a login goes on with: sealed, opened, tampered with, and what of it shows."""

from __future__ import annotations

import base64
import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey

import passwordless_async
from helpers.values import present
from passwordless_async import (
    TESTING,
    DPoPKey,
    Email,
    InvalidMfaState,
    KeyRing,
    MfaChallenge,
    MfaRequired,
    MfaRequirements,
    MfaState,
    PasswordlessClient,
    Phone,
    UsageError,
    errors,
)
from passwordless_async._common import clock as _clock
from passwordless_async._common import sealing
from passwordless_async._common.secret import Secret, SecretDict
from passwordless_async.auth0.id_token import ExpectedIdToken
from passwordless_async.auth0.identity import AuthSession
from passwordless_async.auth0.mfa.state import usable_token

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000.0
KEY = bytes(range(32))
DPOP_KEY = DPoPKey.generate()
CLIENT = PasswordlessClient("tenant.example", "client", profile=TESTING)
TOKEN = "Fe26.2*an-mfa-token"
STATE = MfaState(
    mfa_token=Secret(TOKEN),
    requirements=MfaRequirements(("otp", "push-notification"), ("otp",)),
    key=DPOP_KEY,
    jkt=DPOP_KEY.thumbprint,
    issuer="https://tenant.example/",
    client_id="client",
    expires_at=int(NOW) + 600,
    who=Email("ada@example.com"),
    scope="openid",
    audience="https://api.example",
    expected=ExpectedIdToken(nonce="n", max_age=60),
)
CHALLENGE = MfaChallenge("oob", Secret("an-oob-code"), "prompt", int(NOW) + 300)


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_clock, "now", lambda: NOW)


def sealed_with(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> str:
    """Return a state sealed by somebody who has the key and changes header or content."""
    opened = jwe.decrypt_compact(STATE.seal(KEY), OctKey.import_key(KEY), registry=registry())
    header, members = dict(opened.protected), json.loads(present(opened.plaintext))
    change(header, members)
    content = json.dumps(members).encode()
    return jwe.encrypt_compact(header, content, OctKey.import_key(KEY), registry=registry())


def registry() -> jwe.JWERegistry:
    return jwe.JWERegistry(algorithms=["dir", "A256GCM", "A128CBC-HS256", "DEF"], strict_check_header=False)


CLAIMS = {"iss": "https://tenant.example/", "sub": "auth0|ada", "aud": ["client"], "auth_time": 5, "name": "Ada"}


@pytest.mark.parametrize(
    "state",
    [
        STATE,
        attrs.evolve(STATE, who=None, scope=None, audience=None, expected=ExpectedIdToken()),
        attrs.evolve(
            STATE,
            who=None,
            expected=ExpectedIdToken.after_refresh(
                {"iss": "https://tenant.example/", "sub": "auth0|ada", "aud": ["client"], "auth_time": 5}
            ),
        ),
        attrs.evolve(STATE, who=Phone("+4930901820"), requirements=MfaRequirements()),
        attrs.evolve(STATE, who=AuthSession("session", Phone("+4930901820"))),
        attrs.evolve(STATE, who=None, replaces_bound=True),
        STATE.with_challenge(CHALLENGE),
        STATE.with_challenge(MfaChallenge("otp", None, None, 5)),
    ],
)
def test_what_is_sealed_comes_back(state: MfaState) -> None:
    """Another process has the whole state again, its key ready to sign, its secrets hidden."""
    again = MfaState.unseal(state.seal(KEY), KEY, client=CLIENT)
    assert state == again
    assert present(state.key).to_bytes() == present(again.key).to_bytes()
    assert repr(again.mfa_token) == "<redacted>"
    assert again.challenge is None or repr(again.challenge) == repr(state.challenge)


def test_a_state_without_a_key_comes_back() -> None:
    """A login that began without a proof goes on without one."""
    state = attrs.evolve(STATE, key=None, jkt=None)
    again = MfaState.unseal(state.seal(KEY), KEY, client=CLIENT)
    assert (again, again.key, again.jkt) == (state, None, None)


@pytest.mark.parametrize("changes", [{"key": None}, {"jkt": None}, {"jkt": ""}, {"key": None, "jkt": ""}])
def test_a_state_has_both_key_and_thumbprint_or_neither(changes: dict[str, Any]) -> None:
    """One of them alone was lost, or added."""
    with pytest.raises(InvalidMfaState) as refused:
        attrs.evolve(STATE, **changes).require_usable(CLIENT)
    assert refused.value.failed == "jkt"


def test_a_state_that_was_sealed_by_an_older_version_comes_back() -> None:
    """It does not say whether the tokens replace bound ones."""
    sealed = sealed_with(lambda _header, members: members.pop("replaces_bound"))
    assert MfaState.unseal(sealed, KEY, client=CLIENT) == STATE


def test_what_the_seal_shows() -> None:
    """The header names tenant, application, DPoP key and sealing key, and nothing else; no two seals are the same."""
    header, encrypted_key, *_ = STATE.seal(KEY).split(".")
    shown = json.loads(base64.urlsafe_b64decode(header + "=="))
    kid = shown.pop("kid")
    assert shown == {
        "alg": "dir",
        "enc": "A256GCM",
        "typ": "mfa-state+jwe",
        "iss": "https://tenant.example/",
        "client_id": "client",
        "jkt": DPOP_KEY.thumbprint,
    }
    assert encrypted_key == ""
    assert STATE.seal(KEY) != STATE.seal(KEY)
    other = json.loads(base64.urlsafe_b64decode(STATE.seal(bytes(32)).split(".")[0] + "=="))
    assert kid != other["kid"]


def test_keys_rotate() -> None:
    """A state opens while one of the keys at hand is the one it was sealed with, wherever that stands."""
    newer = bytes(reversed(KEY))
    for keys in ([KEY, newer], (newer, KEY)):
        assert MfaState.unseal(STATE.seal(KEY), keys, client=CLIENT) == STATE
    with pytest.raises(InvalidMfaState) as refused:
        MfaState.unseal(STATE.seal(KEY), [newer], client=CLIENT)
    assert refused.value.failed == "key"


@pytest.mark.parametrize(
    ("keys", "opener"),
    [
        (KEY, [bytes(32), KEY]),
        ([KEY, bytes(32)], KEY),
        ((KEY, bytes(32)), KeyRing(bytes(32), KEY, users=bytes(32))),
        (KeyRing(KEY, bytes(32), users=bytes(32)), KEY),
    ],
    ids=["one", "list", "tuple", "ring"],
)
def test_a_state_is_sealed_with_the_first_key(keys: Any, opener: Any) -> None:
    """Keys rotate as for tokens and links: one key, several, or a ring."""
    assert MfaState.unseal(STATE.seal(keys), opener, client=CLIENT) == STATE


@pytest.mark.parametrize("keys", [bytes(32), [bytes(32)], KeyRing(bytes(32), users=bytes(32))])
def test_a_state_of_another_kind_or_key_has_its_failure(keys: Any) -> None:
    """A ring's refusals have the same names as a key's."""
    with pytest.raises(InvalidMfaState) as refused:
        MfaState.unseal(STATE.seal(KEY), keys, client=CLIENT)
    assert refused.value.failed == "key"
    link = sealing.seal_members(SecretDict(a="b"), keys, "pending-link+jwe")
    with pytest.raises(InvalidMfaState) as refused:
        MfaState.unseal(link, keys, client=CLIENT)
    assert (refused.value.failed, str(refused.value)) == ("form", "MFA state, form: it is not a sealed MFA state")


@pytest.mark.parametrize("segment", range(5))
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_no_character_can_be_changed(segment: int, where: str) -> None:
    """A change of any segment, the unused bits of its last character included, is refused."""
    segments = STATE.seal(KEY).split(".")
    text = segments[segment] or "A"
    place = {"first": 0, "middle": len(text) // 2, "last": len(text) - 1}[where]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    swapped = alphabet[alphabet.index(text[place]) ^ 1]
    segments[segment] = text[:place] + swapped + text[place + 1 :]
    with pytest.raises(InvalidMfaState) as refused:
        MfaState.unseal(".".join(segments), KEY, client=CLIENT)
    assert refused.value.failed in {"form", "key", "seal"}


@pytest.mark.parametrize("name", ["iss", "client_id", "jkt"])
def test_the_header_is_authenticated(name: str) -> None:
    """Whoever rewrites the header to another tenant, application or key breaks the seal."""
    header, *rest = STATE.seal(KEY).split(".")
    members = json.loads(base64.urlsafe_b64decode(header + "==")) | {name: "x"}
    forged = base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidMfaState, match="changed after it was sealed"):
        MfaState.unseal(".".join([forged, *rest]), KEY, client=CLIENT)


@pytest.mark.parametrize(
    ("text", "key", "client", "failed", "message"),
    [
        (STATE.seal(KEY), bytes(32), CLIENT, "key", "MFA state, key: it was sealed with another key"),
        (
            STATE.seal(KEY),
            KEY,
            PasswordlessClient("other.example", "client", profile=TESTING),
            "issuer",
            "MFA state, issuer: it is another tenant's",
        ),
        (
            STATE.seal(KEY),
            KEY,
            PasswordlessClient("tenant.example", "other", profile=TESTING),
            "client_id",
            "MFA state, client_id: it is another application's",
        ),
        (
            attrs.evolve(STATE, expires_at=int(NOW)).seal(KEY),
            KEY,
            CLIENT,
            "expires_at",
            "MFA state, expires_at: it has expired: the user must log in again",
        ),
        (
            attrs.evolve(STATE, jkt="x" * 43).seal(KEY),
            KEY,
            CLIENT,
            "jkt",
            "MFA state, jkt: its key is missing, or not the one that the login began with",
        ),
    ],
)
def test_each_failure_has_its_name(
    text: str, key: bytes, client: PasswordlessClient, failed: str, message: str
) -> None:
    """Wrong key, foreign tenant, foreign application, expired, another DPoP key: told apart."""
    with pytest.raises(InvalidMfaState) as refused:
        MfaState.unseal(text, key, client=client)
    assert (refused.value.failed, str(refused.value)) == (failed, message)


@pytest.mark.parametrize(
    "text", ["", "a.b.c.d.e", "....", "e30....", "eyJ", None, 5, b"....", "a" * 70_000, "é.é.é.é.é"]
)
def test_what_is_no_sealed_state(text: Any) -> None:
    """Anything else is none."""
    with pytest.raises(InvalidMfaState, match="not a sealed MFA state"):
        MfaState.unseal(text, KEY, client=CLIENT)


@pytest.mark.parametrize(
    "change",
    [
        lambda header, _: header.update(typ="JWT"),
        lambda header, _: header.update(more="x"),
        lambda header, _: header.pop("jkt"),
        lambda header, _: header.update(zip="DEF"),
        lambda header, _: header.update(enc="A128CBC-HS256"),
        lambda _, members: members.clear(),
        lambda _, members: members.update(key={}),
        lambda _, members: members.update(who={"email": ""}),
        lambda _, members: members.update(sent={}),
        lambda _, members: members.update(expires_at="soon"),
        lambda _, members: members.update(expires_at=float("inf")),
        lambda _, members: members.update(challenge=5),
        lambda _, members: members.update(expected={"x": 1}),
    ],
)
def test_what_we_would_not_seal(change: Any) -> None:
    """Sealed with the right key, and still not of the form that is written here."""
    with pytest.raises(InvalidMfaState) as refused:
        MfaState.unseal(sealed_with(change), KEY, client=CLIENT)
    assert refused.value.failed == "form"


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=200))
def test_any_text_is_refused_by_name(text: str) -> None:
    """No text leads to another error."""
    for given_text in (text, f"{STATE.seal(KEY).partition('.')[0]}.{text}", f"{text}..{text}.{text}.{text}"):
        with pytest.raises(InvalidMfaState):
            MfaState.unseal(given_text, KEY, client=CLIENT)


@pytest.mark.parametrize("key", [b"", [], [None], bytes(31), bytes(33), "k" * 32, None, 5, OctKey.generate_key(256)])
def test_the_sealing_key_is_32_bytes(key: Any) -> None:
    """Anything else is the caller's mistake, both ways."""
    for call in (lambda: STATE.seal(key), lambda: MfaState.unseal(STATE.seal(KEY), key, client=CLIENT)):
        with pytest.raises(UsageError, match="key: must be 32 random bytes"):
            call()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            {"challenge": [{"type": "otp"}], "enroll": [{"type": "push-notification"}]},
            (("otp",), ("push-notification",)),
        ),
        ({"challenge_types": ["otp", "oob", "otp"]}, (("otp", "oob"), ())),
        ({"challenge": [], "challenge_types": ["oob"]}, (("oob",), ())),
        ({"challenge": ["otp", {"type": 5}, {}, None, {"type": "a b"}, {"type": "x" * 65}]}, (("otp",), ())),
        ({"challenge": {"type": "otp"}, "enroll": "otp"}, ((), ())),
        ({"challenge_types": [str(n) for n in range(100)]}, (tuple(str(n) for n in range(32)), ())),
        ({}, ((), ())),
        (None, ((), ())),
        ([], ((), ())),
    ],
)
def test_requirements(raw: Any, expected: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    """Both shapes are read; what is of neither is left out, for a login must not end by it."""
    read = MfaRequirements.read(raw)
    assert (read.challenge, read.enroll) == expected


@pytest.mark.parametrize(
    ("challenge", "types"),
    [
        ((), ("otp", "oob")),
        (("recovery-code",), ("otp", "oob")),
        (("otp",), ("otp",)),
        (("sms", "otp"), ("otp", "oob")),
        (("push-notification", "recovery-code"), ("oob",)),
    ],
)
def test_types_to_ask_for(challenge: tuple[str, ...], types: tuple[str, ...]) -> None:
    """The service's own words for factors lead to the two types of challenges that there are."""
    assert types == MfaRequirements(challenge).challenge_types


@pytest.mark.parametrize("value", [None, "", 5, "a b", "é", "x" * 16_385, b"x"])
def test_tokens_that_cannot_be_sent(value: Any) -> None:
    """What is no token leads to no state."""
    assert usable_token(value) is None
    assert usable_token("x") == "x"


def test_an_error_keeps_its_state_in_this_process_alone() -> None:
    """Copies go on with the same key; a pickled error has left the private key behind, and the state says how."""
    error = MfaRequired(status=403, error="mfa_required", mfa_token=Secret("t"))
    error.state = STATE
    for again in (copy.copy(error), copy.deepcopy(error)):
        assert (STATE, "t", str(error)) == (again.state, again.mfa_token, str(again))
    assert pickle.loads(pickle.dumps(error)).state is None  # noqa: S301
    with pytest.raises(TypeError):
        pickle.dumps(STATE)


def test_nothing_shows() -> None:
    """The repr of a state and of what is in it has no token, key, code or whole address."""
    state = STATE.with_challenge(CHALLENGE)
    text = f"{state!r} {state} {state.challenge!r}"
    for secret in (TOKEN, "an-oob-code", DPOP_KEY.to_jwk(private=True)["d"], "ada@example.com"):
        assert str(secret) not in text


def required() -> MfaRequired:
    """Return an error with all its facts."""
    return MfaRequired(
        status=403, error="mfa_required", mfa_token="handle", mfa_requirements={"challenge": []}, state=STATE
    )


def test_mfa_required_is_one_class_wherever_it_is_imported_from() -> None:
    """The package and ``errors`` export this class."""
    assert passwordless_async.MfaRequired is MfaRequired is errors.MfaRequired
    assert "MfaRequired" in dir(errors)


def test_facts_of_mfa_required_are_complete_when_it_is_made() -> None:
    """Token, requirements and state are arguments; requirements default to none."""
    error = required()
    assert (error.mfa_token, error.mfa_requirements, error.state) == ("handle", {"challenge": []}, STATE)
    assert MfaRequired(status=403, error="mfa_required").mfa_requirements == {}
    assert error.recovery_code is None


def test_other_facts_make_another_mfa_required() -> None:
    """The error itself is not changed."""
    error = required()
    changed = error.with_facts(recovery_code="NEW")
    assert (changed.recovery_code, changed.state, changed.args) == ("NEW", STATE, error.args)
    assert error.recovery_code is None


def test_a_copy_of_mfa_required_keeps_the_state() -> None:
    """A copy stays in this process, so it keeps the private key."""
    assert copy.copy(required()).state is STATE
    assert copy.deepcopy(required()).state is STATE


def test_a_pickle_of_mfa_required_leaves_the_state_out() -> None:
    """The state holds a private key, which a pickle must not spill; ``MfaState.seal`` is for that."""
    read = pickle.loads(pickle.dumps(required()))  # noqa: S301 - our own
    assert (type(read), read.state, read.mfa_token) == (MfaRequired, None, "handle")
