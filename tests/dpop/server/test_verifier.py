"""Rules 21 to 31 of a DPoP verifier, one by one; each refusal is told by its description."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from helpers.leaks import lines_with, shown
from passwordless_async._common import clock as _clock
from passwordless_async.dpop.server.nonce_issuer import NonceIssuer
from passwordless_async.dpop.server.replay import MemoryReplayStore
from passwordless_async.dpop.server.verifier import DPoPVerifier, _CachedKeys
from passwordless_async.errors import InvalidDPoPProof, InvalidToken, StoreError, UsageError, UseDPoPNonce
from passwordless_async.resource_server.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def with_number(server: Any, name: str, number: str) -> str:
    """Return a proof with a number as written, which json.dumps might not write."""
    text = json.dumps(server.claims(**{name: "here"})).replace('"here"', number)
    proof: str = server.compact(server.prover.header, text.encode(), server.prover.sign)
    return proof


@pytest.mark.parametrize("method", ["get", "Get", "POST", "GET ", "", "HEAD", "GE\u0054\u0301"])
async def test_htm_is_exact(method: str, server: Any) -> None:
    """Rule 25: htm is the request's method, its case included, both ways."""
    assert await server.refusal(server.proof(htm=method)) == "htm is not the request's method"
    assert await server.refusal(server.proof(), method=method) == "htm is not the request's method"


@pytest.mark.parametrize(
    ("htu", "target"),
    [
        ("HTTPS://API.Example/me", "/me"),
        ("https://api.example:443/me", "/me"),
        ("https://api.example:/me", "/me"),
        ("https://api.example", "/"),
        ("https://api.example/", "*"),
        ("https://api%2Eexample/me", "/me"),
        ("https://api.example/a/../me", "/me"),
        ("https://api.example/me", "/a/./../me"),
        ("https://api.example/me", "/%6de"),
        ("https://api.example/%6De", "/me"),
        ("https://api.example/%c3%a9", "/%C3%A9"),
        ("https://api.example/a%2fb", "/a%2Fb"),
        ("https://api.example/%2e%2e/me", "/me"),
        ("https://api.example/me?x=1#y", "/me?z=2"),
        ("https://api.example/me#y?x", "/me"),
        ("https://api.example/me", "http://10.0.0.7:8080/me?x=1"),
        ("https://api.example/a|b", "/a|b"),
    ],
)
async def test_htu_is_normalised(htu: str, target: str, server: Any) -> None:
    """Rule 25: both sides are normalised by RFC 3986 §6.2.2 and §6.2.3; query and fragment do not count."""
    assert (await server.get(server.proof(htu=htu), target)).htu == htu


@pytest.mark.parametrize(
    ("htu", "target"),
    [
        ("http://api.example/me", "/me"),
        ("https://api.example:8443/me", "/me"),
        ("https://api.example:80/me", "/me"),
        ("https://api.example:0443/me", "/me"),
        ("https://api.example./me", "/me"),
        ("https://evil.example/me", "https://evil.example/me"),
        ("https://user@api.example/me", "/me"),
        ("https://api.example@evil.example/me", "/me"),
        ("https://api.example%40evil.example/me", "/me"),
        ("https://api.example\\@evil.example/me", "/me"),
        ("https:/api.example/me", "/me"),
        ("//api.example/me", "/me"),
        ("/me", "/me"),
        ("", "/me"),
        (" https://api.example/me", "/me"),
        ("https://api.example/me ", "/me"),
        ("https://api.example/me/", "/me"),
        ("https://api.example/me", "/me/"),
        ("https://api.example/Me", "/me"),
        ("https://api.example//me", "/me"),
        ("https://api.example/a%2Fb", "/a/b"),
        ("https://api.example/a/b", "/a%2Fb"),
        ("https://api.example/a%40b", "/a@b"),
        ("https://api.example/a%3Ab", "/a:b"),
        ("https://api.example/%256de", "/me"),
        ("https://api.example/%6", "/%06"),
        ("https://api.example/%%411", "/%A1"),
        ("https://api.example/é", "/%C3%A9"),
        ("https://api.example/me;x", "/me"),
        ("https://api.example/me", ""),
        ("https://api.example/me", "me"),
        ("https://api.example/me", "\udcff"),
        ("https://api.example/me", "api.example:443"),
    ],
)
async def test_htu_differs(htu: str, target: str, server: Any) -> None:
    """Rule 25: %2F is not a slash, %40 is not an @, a trailing slash and the case of a path count, and so on."""
    assert await server.refusal(server.proof(htu=htu), target) in {
        "htu is not the request's URL",
        "the request's target cannot be compared with htu",
    }


@pytest.mark.parametrize(
    ("base", "htu", "target"),
    [
        ("https://gw.example/orders", "https://gw.example/orders/1", "/1"),
        ("https://gw.example/orders/", "https://gw.example/orders/1", "/1"),
        ("HTTPS://GW.example:443/%6Frders", "https://gw.example/orders/", "/"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/1", "/1"),
        ("http://[::1]:8080", "http://[::1]:8080/1", "/1"),
    ],
)
async def test_base_url_is_the_public_one(base: str, htu: str, target: str, server_with: Any) -> None:
    """Rule 25: behind a proxy the base URL says scheme, host, port and the path in front."""
    server = server_with(options={"base_url": base})
    await server.get(server.proof(htu=htu), target)


SEVERAL = ("https://api.example", "https://Old.example:443/v1/", "http://127.0.0.1:8080")


@pytest.mark.parametrize("several", [list, tuple, set, iter, lambda urls: (URL(url) for url in urls)])
@pytest.mark.parametrize(
    ("htu", "target"),
    [
        ("https://api.example/me", "/me"),
        ("https://old.example/v1/me", "/me"),
        ("http://127.0.0.1:8080/me", "/me"),
        ("HTTPS://OLD.example/v1/../v1/%6de?x", "/me"),
        ("http://127.0.0.1:8080", "*"),
    ],
)
async def test_one_api_has_several_names(several: Any, htu: str, target: str, server_with: Any) -> None:
    """Rule 25: a proof may be for any of several base URLs, each compared as one alone is."""
    server = server_with(options={"base_url": several(SEVERAL)})
    await server.get(server.proof(htu=htu), target)


@pytest.mark.parametrize(
    ("htu", "target"),
    [
        ("https://evil.example/me", "https://evil.example/me"),
        ("https://api.example/v1/me", "/me"),
        ("https://old.example/me", "/me"),
        ("http://api.example/me", "/me"),
        ("https://127.0.0.1:8080/me", "/me"),
        ("https://api.examplehttps://old.example/v1/me", "/me"),
        ("https://api.example/me", "/v1/../../old.example/me"),
        ("/me", "/me"),
    ],
)
async def test_no_other_name_passes(htu: str, target: str, server_with: Any) -> None:
    """Rule 25: no part of one base URL is combined with a part of another, and no other host passes."""
    server = server_with(options={"base_url": SEVERAL})
    headers = [("Host", "evil.example"), ("DPoP", server.proof(htu=htu))]
    assert await server.refusal(headers, target) == "htu is not the request's URL"


@pytest.mark.parametrize(
    ("htu", "told"),
    [
        ("http://localhost:8080/secret", "it is http://127.0.0.1:8080; the proof is for http://localhost:8080."),
        ("http://user:hunter2@localhost:8080/me", "it is http://127.0.0.1:8080."),
        (f"http://localhost/{'x' * 300}", "it is http://127.0.0.1:8080."),
        ("opaque", "it is http://127.0.0.1:8080."),
    ],
)
async def test_the_advice_names_both_origins(htu: str, told: str, server_with: Any) -> None:
    """For the API's log: localhost and 127.0.0.1 are two origins. No path, no user information."""
    server = server_with(options={"base_url": "http://127.0.0.1:8080"})
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.get(server.proof(htu=htu), "/me")
    assert caught.value.error_description == "htu is not the request's URL"
    assert caught.value.advice.partition("clients use")[2].lstrip(":; ") == told


async def test_the_advice_about_a_proof_that_was_used(server: Any) -> None:
    """No clock and no key is wrong."""
    proof = server.proof()
    await server.get(proof)
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.get(proof)
    assert caught.value.error_description == "the proof was used before"
    assert caught.value.advice == "The client must sign a new proof for each request, a retry included."


async def test_a_proof_passes_once_whatever_the_name(server_with: Any) -> None:
    """Rule 28: one that was used at one name is used at all; so it is for two verifiers with one store."""
    server = server_with(options={"base_url": SEVERAL})
    proof = server.proof()
    await server.get(proof, "https://api.example/me")
    assert await server.refusal(proof, "http://127.0.0.1:8080/me") == "the proof was used before"
    other = server_with(clock=server.clock, prover=server.prover, options={"replay": server.replay})
    assert await other.refusal(proof) == "the proof was used before"


def test_repr_names_the_base_url() -> None:
    """Of several, the first, and how many more there are."""
    urls = ["https://b.example", "https://a.example/", "https://c.example"]
    shown = [repr(DPoPVerifier(replay=MemoryReplayStore(), base_url=given)) for given in (urls[0], urls)]
    assert shown == ["<DPoPVerifier for https://b.example>", "<DPoPVerifier for https://b.example and 2 more>"]


async def test_dot_segments_stay_under_the_base(server_with: Any) -> None:
    """Rule 25: a request's dot segments do not climb out of the base URL's path."""
    server = server_with(options={"base_url": "https://gw.example/orders"})
    assert await server.refusal(server.proof(htu="https://gw.example/admin"), "/../admin")


@pytest.mark.parametrize("age", [-10, 0, 59, 60])
async def test_iat_within_the_window(age: int, server: Any) -> None:
    """Rule 26: by default a proof may be 60 seconds old, and 10 seconds ahead."""
    await server.get(server.proof(iat=server.clock.now - age))


@pytest.mark.parametrize(
    ("age", "told"),
    [(-3600, 3600), (-11, 11), (-10.001, 11), (60.001, -61), (61, -61), (3600, -3600), (1.7e12, -(10**9))],
)
async def test_iat_outside_the_window(age: float, told: int, server: Any) -> None:
    """Rule 26: outside of it a proof is refused, with the difference between the two clocks."""
    assert await server.refusal(server.proof(iat=server.clock.now - age)) == server.untimely(told)


async def test_window_is_a_setting(server_with: Any) -> None:
    """Rule 26: max_age and skew are settings, zero included."""
    server = server_with(options={"max_age": 0, "skew": 0})
    await server.get(server.proof(iat=server.clock.now))
    accepted = "0 ahead to 0 behind are accepted"
    for iat, where in ((server.clock.now + 0.1, "ahead of"), (server.clock.now - 0.1, "behind")):
        reason = await server.refusal(server.proof(iat=iat))
        assert reason == f"iat is 1 seconds {where} this server's clock: {accepted}"


async def test_exp_and_nbf_are_honoured(server: Any) -> None:
    """Rule 26: exp and nbf count where they stand, with the same leeway as iat."""
    now = server.clock.now
    await server.get(server.proof(exp=now + 1, nbf=now))
    await server.get(server.proof(exp=now - 9, nbf=now + 10))
    assert await server.refusal(server.proof(exp=now - 10)) == "the proof is expired or not valid yet"
    assert await server.refusal(server.proof(nbf=now + 11)) == "the proof is expired or not valid yet"


async def test_nonce_time_stands_in_for_iat(server_with: Any) -> None:
    """Rule 26: if set, a client with a clock that is years off passes with a valid nonce, which bounds the replay."""
    server = server_with()
    nonces = NonceIssuer(clock=server.clock)
    server = server_with(clock=server.clock, options={"nonces": nonces, "nonce_time": True})
    for iat in (0, -1e12, 4e9, 10**400):
        proof = server.proof(iat=iat, nonce=nonces.issue())
        await server.get(proof)
        server.clock.now += 59
        assert await server.refusal(proof) == "the proof was used before"
        server.clock.now += 121
        assert await server.refusal(proof) == "the nonce is not accepted"


async def test_nonce_time_needs_a_nonce(server_with: Any) -> None:
    """Rule 26: without a nonce iat counts, even where the nonce's time could stand in."""
    server = server_with()
    options = {"nonces": NonceIssuer(clock=server.clock), "nonce_time": True, "require_nonce": False}
    server = server_with(clock=server.clock, options=options)
    await server.get(server.proof())
    assert await server.refusal(server.proof(iat=0)) == server.untimely(-(10**9))


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    return ec.ECDSA(hashes.SHA256())


async def test_replay_is_refused(server: Any) -> None:
    """Rule 28: a proof is good for one request."""
    proof = server.proof()
    await server.get(proof)
    assert await server.refusal(proof) == "the proof was used before"


async def test_replay_by_the_other_signature(server: Any) -> None:
    """Rule 28: the signature (r, n - s) verifies too and is the same proof."""
    proof = server.proof()
    await server.get(proof)
    head, _, signature = proof.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    mirrored = raw[:32] + (P256_ORDER - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    assert await server.refusal(f"{head}.{server.base64url(mirrored)}") == "the proof was used before"


async def test_jti_is_per_key(server: Any) -> None:
    """Rule 28: two clients may choose the same jti."""
    other = server.Prover()
    await server.get(server.proof(jti="1"))
    await server.get(other.proof({}, server.claims(jti="1")), confirmation={"jkt": other.thumbprint})


async def test_refused_proofs_are_not_remembered(server: Any) -> None:
    """Rule 28: replay is the last check: a proof that fails any other leaves the store as it was."""
    proof = server.proof()
    await server.refusal(proof, access_token="another")
    await server.refusal(proof, confirmation={"jkt": "another"})
    await server.refusal(proof, "/other")
    await server.refusal(proof, method="POST")
    assert len(server.replay) == 0
    await server.get(proof)


async def test_replay_of_a_proof_from_a_fast_clock(server: Any) -> None:
    """Rule 28: kept for max age + skew from iat: a proof 10 s ahead is good for 70 s, and refused for as long."""
    proof = server.proof(iat=server.clock.now + 10)
    await server.get(proof)
    for _ in range(70):
        server.clock.now += 1
        assert await server.refusal(proof) == "the proof was used before"
    server.clock.now += 1
    assert await server.refusal(proof) == server.untimely(-61)


async def test_full_store_refuses(server_with: Any) -> None:
    """Rule 28: where the store cannot take the proof the request is refused: 503, the store's error as the cause."""

    class Full:
        async def add(self, key: str, expires_at: float) -> bool:
            raise StoreError(f"no room for {len(key)} characters until {expires_at}")

    server = server_with(options={"replay": Full()})
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.get(server.proof())
    assert (caught.value.status, caught.value.error) == (503, "temporarily_unavailable")
    assert isinstance(caught.value.__cause__, StoreError)


@pytest.mark.parametrize(("age", "seconds"), [(0, 105), (50, 105), (-5, 110)])
async def test_store_is_asked_for_key_and_time(age: float, seconds: float, server_with: Any) -> None:
    """Rule 28: the store's key is thumbprint and jti, its time max age + skew from now, or from a later iat."""
    asked = []

    class Recorder:
        def clock(self) -> float:
            return 1000.0

        async def add(self, key: str, expires_at: float) -> bool:
            asked.append((key, expires_at))
            return True

    server = server_with(options={"replay": Recorder(), "max_age": 100, "skew": 5})
    await server.get(server.proof(jti="1", iat=server.clock.now - age))
    assert asked == [(f"{server.prover.thumbprint}.1", 1000.0 + seconds)]


async def test_store_without_a_clock_goes_by_this_machines(server_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 28: whatever the verifier's own clock says, such a store is told a time by the wall clock."""
    asked = []

    class Recorder:
        async def add(self, key: str, expires_at: float) -> bool:
            asked.append((key, expires_at))
            return True

    monkeypatch.setattr(_clock, "now", lambda: 5000.0)
    server = server_with(options={"replay": Recorder()})
    await server.get(server.proof(jti="1"))
    assert asked == [(f"{server.prover.thumbprint}.1", 5070.0)]


@pytest.mark.parametrize("ahead", [-90.0, -30.0, -15.0, 15.0, 30.0, 90.0])
@pytest.mark.parametrize("age", [0.0, 45.0, 57.0])
async def test_clocks_of_store_and_verifier_need_not_agree(ahead: float, age: float, server_with: Any) -> None:
    """Rule 28: a used proof is refused for as long as it would pass, whatever time the store thinks it is."""
    server = server_with()
    store = MemoryReplayStore(clock=lambda: server.clock.now + ahead)
    server = server_with(clock=server.clock, options={"replay": store})
    proof = server.proof(iat=server.clock.now - age)
    await server.get(proof)
    for _ in range(int(60 - age)):
        server.clock.now += 1
        assert await server.refusal(proof) == "the proof was used before"
    server.clock.now += 12
    await server.get(server.proof())
    assert len(store) == 1 + (age > 0)


@pytest.mark.parametrize("ahead", [0.0, 10.0, 30.0, 60.0])
async def test_a_machine_whose_clock_is_ahead_forgets_no_proof_early(ahead: float, server_with: Any) -> None:
    """Rule 28: what it accepts as an old proof is a new one to other machines, and is remembered as one."""
    server = server_with()
    store = MemoryReplayStore(clock=server.clock)
    there = server_with(clock=type(server.clock)(server.clock.now + ahead), prover=server.prover)
    there.verifier._replay, there.verifier._store_clock = store, store.clock
    server = server_with(clock=server.clock, prover=server.prover, options={"replay": store})
    proof = server.proof()
    await there.get(proof)
    for _ in range(60):
        server.clock.now += 1
        assert await server.refusal(proof) == "the proof was used before"


SET_BACK = "this server's clock was set back: the proof may have been used before"


@pytest.mark.parametrize("step", [3600.0, 71.0, 40.0, 12.0])
async def test_a_clock_that_is_set_back_lets_no_used_proof_pass(step: float, server_with: Any) -> None:
    """Rule 28: the store drops a proof after its seconds; by the verifier's clock it is good again, and is refused."""
    server = server_with()
    steady = type(server.clock)()
    server = server_with(clock=server.clock, options={"replay": MemoryReplayStore(clock=steady)})
    proof, made = server.proof(), int(server.clock.now)
    await server.get(proof)
    server.clock.now -= step
    for _ in range(int(step) + 80):
        ahead = made - int(server.clock.now)
        expected = {"the proof was used before", SET_BACK} if -60 <= ahead <= 10 else {server.untimely(ahead)}
        assert await server.refusal(proof) in expected
        steady.now += 1
        server.clock.now += 1
    await server.get(server.proof())


@pytest.mark.parametrize("step", [0.0, 5.0, 30.0, 60.0])
async def test_a_small_step_of_the_clock_costs_no_request(step: float, server_with: Any) -> None:
    """Rule 28: new proofs pass at all times: what is not remembered any more is older than they."""
    server = server_with()
    steady = type(server.clock)()
    server = server_with(clock=server.clock, options={"replay": MemoryReplayStore(clock=steady)})
    for second in range(300):
        if second == 100:
            server.clock.now -= step
        for age in (-10, 0, 9):
            await server.get(server.proof(iat=server.clock.now - age))
        steady.now += 1
        server.clock.now += 1


async def test_a_clock_that_was_wrong_refuses_until_it_is_certain(server_with: Any) -> None:
    """Rule 28: set back by an hour, it refuses new proofs of the hour that it has seen before, with 503."""
    server = server_with()
    steady = type(server.clock)()
    server = server_with(clock=server.clock, options={"replay": MemoryReplayStore(clock=steady)})
    await server.get(server.proof())
    server.clock.now -= 3600
    await server.get(server.proof())
    steady.now += 71
    server.clock.now += 71
    with pytest.raises(InvalidDPoPProof) as caught:
        await server.get(server.proof())
    assert [caught.value.status, caught.value.error, caught.value.error_description] == [
        503, "temporarily_unavailable", SET_BACK,
    ]  # fmt: skip
    server.clock.now += 3600
    await server.get(server.proof())


async def test_a_nonce_clock_that_is_set_back_lets_no_used_proof_pass(server_with: Any) -> None:
    """Rule 28: likewise where the time in a nonce stands in for iat: it is the nonce that is good again."""
    server = server_with()
    steady, nonces = type(server.clock)(), NonceIssuer(b"s" * 32, clock=server.clock)
    options = {"replay": MemoryReplayStore(clock=steady), "nonces": nonces, "nonce_time": True}
    server = server_with(clock=server.clock, options=options)
    proof = server.proof(nonce=nonces.issue())
    await server.get(proof)
    steady.now += 131
    assert await server.refusal(proof) == SET_BACK
    server.clock.now += 131
    await server.get(server.proof(nonce=nonces.issue()))


async def test_owner_is_told_to_the_store_if_it_is_given(server_with: Any) -> None:
    """A store that knows no owners works as long as none is given."""
    asked = []

    class Recorder:
        async def add(self, key: str, expires_at: float, **owner: str) -> bool:
            asked.append(owner)
            return bool(key) and expires_at > 0

    server = server_with(options={"replay": Recorder()})
    for owner in ({}, {"owner": None}, {"owner": "ada"}):
        await server.get(server.proof(), **owner)
    assert asked == [{}, {}, {"owner": "ada"}]
    with pytest.raises(UsageError, match="owner: "):
        await server.get(server.proof(), owner=1)


def test_store_is_required() -> None:
    """Rule 28: the store is a required argument."""
    with pytest.raises(TypeError):
        DPoPVerifier(base_url="https://api.example")  # type: ignore[call-arg] # what a type checker would say
    with pytest.raises(UsageError, match="replay: "):
        DPoPVerifier(replay=None, base_url="https://api.example")  # type: ignore[arg-type] # likewise


async def test_nonce_is_demanded(server_with: Any) -> None:
    """Rule 29: without a nonce, with an old one or a made-up one, the client is challenged and told the newest."""
    server = server_with()
    nonces = NonceIssuer(clock=server.clock)
    server = server_with(clock=server.clock, options={"nonces": nonces})
    old = nonces.issue()
    server.clock.now += 180
    for nonce in (server.absent, old, "made-up", "", "é"):
        with pytest.raises(UseDPoPNonce) as caught:
            await server.get(server.proof(nonce=nonce))
        assert (caught.value.status, caught.value.nonce) == (401, nonces.issue())
    with pytest.raises(UseDPoPNonce) as caught:
        await server.post(server.prover.proof({}, server.prover.claims("POST", f"{server.base}/oauth/token", 0)))
    assert caught.value.status == 400
    assert len(server.replay) == 0


async def test_new_nonce_is_offered_when_it_changes(server_with: Any) -> None:
    """Rule 29: the response carries a nonce only if the client's is of the previous step."""
    server = server_with()
    nonces = NonceIssuer(clock=server.clock, step=60)
    server = server_with(clock=server.clock, options={"nonces": nonces})
    nonce = nonces.issue()
    assert (await server.get(server.proof(nonce=nonce))).next_nonce is None
    server.clock.now += 60
    checked = await server.get(server.proof(nonce=nonce))
    assert checked.next_nonce == nonces.issue() != nonce
    assert (await server.get(server.proof(nonce=checked.next_nonce))).next_nonce is None


async def test_wrong_proofs_get_no_challenge(server_with: Any) -> None:
    """Rule 29: a wrong proof is refused without a challenge: a nonce would not make it right."""
    server = server_with()
    server = server_with(clock=server.clock, options={"nonces": NonceIssuer(clock=server.clock)})
    for proof in (server.proof(htm="PUT"), server.proof(htu="x"), server.proof()[:-4] + "AAAA"):
        with pytest.raises(InvalidDPoPProof):
            await server.get(proof)


async def test_nonce_is_optional_if_set(server_with: Any) -> None:
    """Rule 29: with require_nonce off a proof may be without a nonce; one that has one is checked."""
    server = server_with()
    nonces = NonceIssuer(clock=server.clock)
    server = server_with(clock=server.clock, options={"nonces": nonces, "require_nonce": False})
    assert (await server.get(server.proof())).nonce is None
    assert (await server.get(server.proof(nonce=nonces.issue()))).nonce == nonces.issue()
    assert await server.refusal(server.proof(nonce="x")) == "the nonce is not accepted"


async def test_nonce_without_an_issuer_is_ignored(server: Any) -> None:
    """Rule 29: a server that issues no nonces has nothing to compare one with."""
    assert (await server.get(server.proof(nonce="x"))).nonce == "x"


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"base_url": "api.example"}, "base_url"),
        ({"base_url": ""}, "base_url"),
        ({"base_url": None}, "base_url"),
        ({"base_url": "ftp://api.example"}, "base_url"),
        ({"base_url": "https://user@api.example"}, "base_url"),
        ({"base_url": "https://api.example?x"}, "base_url"),
        ({"base_url": "https://api.example#x"}, "base_url"),
        ({"base_url": []}, "base_url"),
        ({"base_url": b"https://api.example"}, "base_url"),
        ({"base_url": lambda _request: "https://api.example"}, "base_url"),
        ({"base_url": ["https://api.example", "api.example"]}, "base_url"),
        ({"base_url": [["https://api.example"]]}, "base_url"),
        ({"max_age": -1}, "max_age"),
        ({"max_age": True}, "max_age"),
        ({"max_age": float("nan")}, "max_age"),
        ({"skew": "10"}, "skew"),
        ({"skew": float("inf")}, "skew"),
        ({"nonce_time": True}, "nonce_time"),
        ({"replay": MemoryReplayStore}, "replay"),  # a class without its parentheses
        ({"nonces": NonceIssuer}, "nonces"),
    ],
)
def test_wrong_settings(options: dict[str, Any], argument: str, server_with: Any) -> None:
    """Rule 30: the application's own mistakes are UsageError, and name the argument."""
    with pytest.raises(UsageError) as caught:
        server_with(options=options)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"method": None}, "method"),
        ({"method": b"GET"}, "method"),
        ({"url": None}, "url"),
        ({"url": b"/me"}, "url"),
        ({"access_token": b"x"}, "access_token"),
        ({"access_token": None}, "access_token"),
    ],
)
async def test_wrong_arguments(changes: dict[str, Any], argument: str, server: Any) -> None:
    """Rule 30: so are wrong arguments, a confirmation without its token among them."""
    with pytest.raises(UsageError) as caught:
        await server.get(server.proof(), **changes)
    assert caught.value.argument == argument


async def test_keys_that_are_kept_are_bounded(server: Any) -> None:
    """Rule 23: a client's key is imported once; the one used least recently goes first; a refused one is not kept."""
    server.verifier._keys = _CachedKeys(2)
    first, second, third = (server.Prover() for _ in range(3))
    for prover in (first, second, first, third):
        proof = prover.proof({}, server.claims())
        await server.get(proof, confirmation={"jkt": prover.thumbprint})
        assert list(server.verifier._keys._keys)[-1] == proof.partition(".")[0]
    assert cached(server) == [first.thumbprint, third.thumbprint]
    await server.refusal(second.proof({}, server.claims(htm="PUT")))
    assert cached(server) == [first.thumbprint, third.thumbprint]


def cached(server: Any) -> list[str]:
    """Return the thumbprints of the cached keys, the least recently used first."""
    return [key.thumbprint for key in server.verifier._keys._keys.values()]


async def test_a_client_that_varies_its_header_has_one_place(server: Any) -> None:
    """Rule 23: a key is cached once, by its newest header, so no client pushes out the keys of others."""
    server.verifier._keys = _CachedKeys(2)
    other = server.Prover()
    await server.get(other.proof({}, server.claims()), confirmation={"jkt": other.thumbprint})
    for number in range(5):
        await server.get(server.proof({"kid": str(number)}))
        assert cached(server) == [other.thumbprint, server.prover.thumbprint]


async def test_keys_that_no_token_is_bound_to_are_not_cached(server: Any) -> None:
    """Rule 23: with one token and many keys of its own, a client does not push out the keys of others."""
    await server.get(server.proof())
    for _ in range(3):
        reason = await server.refusal(server.Prover().proof({}, server.claims()))
        assert reason == "the access token is bound to another key"
    assert cached(server) == [server.prover.thumbprint]


async def test_errors_repeat_nothing(server: Any) -> None:
    """Rule 29: no refusal repeats what the client sent, in its message, its facts or its context."""
    for proof in (server.proof(htu="https://evil.example/marker"), "marker", server.proof(jti="marker" * 100)):
        with pytest.raises(InvalidDPoPProof) as caught:
            await server.get(proof)
        assert "marker" not in f"{caught.value!r}{vars(caught.value)}"
        assert caught.value.__context__ is None
    assert repr(server.verifier) == "<DPoPVerifier for https://api.example>"


RFC9449 = json.loads((Path(__file__).parents[2] / "vectors" / "rfc.json").read_text())["rfc9449"]


@pytest.mark.parametrize("name", ["token_proof", "refresh_proof", "resource_proof"])
async def test_rfc_9449_proofs(name: str) -> None:
    """Rule 22-27: the verifier accepts the three proofs of RFC 9449, at their time, once."""
    vector: dict[str, Any] = RFC9449[name]
    base, slash, path = vector["htu"].rpartition("/")
    verifier = DPoPVerifier(
        replay=MemoryReplayStore(clock=lambda: vector["iat"]), base_url=base, clock=lambda: vector["iat"]
    )
    token = vector.get("access_token")
    arguments = (vector["htm"], slash + path, [("DPoP", vector["proof"])])
    confirmation = None if token is None else {"jkt": RFC9449["thumbprint"]}
    checked = await verifier.verify(*arguments, confirmation=confirmation, access_token=token)
    assert checked.thumbprint == RFC9449["thumbprint"]
    assert (checked.jti, checked.iat, checked.ath) == (vector["jti"], vector["iat"], vector.get("ath"))
    with pytest.raises(InvalidDPoPProof, match="used before"):
        await verifier.verify(*arguments, confirmation=confirmation, access_token=token)


async def test_resource_request(case: Any, server: Any) -> None:
    """Rules 21-28: a resource server accepts and refuses what the public conformance suite says."""
    target = server.Target("GET", f"{server.base}/me", server.clock.now, server.token)

    guard = Guard.of("required", server.verifier, server.base)

    async def send() -> None:
        fields = case.fields(server.prover, target, jti="twice" if case.twice else None)
        await guard.authorize("GET", "/me", fields, lambda _token: {"cnf": {"jkt": server.prover.thumbprint}})

    if case.twice:
        await send()
    if case.passes:
        await send()
    else:
        with pytest.raises((InvalidDPoPProof, InvalidToken)) as caught:
            await send()
        assert caught.value.status == 401


async def test_token_request(token_case: Any, server: Any) -> None:
    """Rules 21-28: a token endpoint does the same, with status 400."""
    target = server.Target("POST", f"{server.base}/oauth/token", server.clock.now)

    async def send() -> None:
        fields = token_case.fields(server.prover, target, jti="twice" if token_case.twice else None)
        await server.verifier.verify("POST", "/oauth/token", fields)

    if token_case.twice:
        await send()
    if token_case.passes:
        await send()
    else:
        with pytest.raises(InvalidDPoPProof) as caught:
            await send()
        assert caught.value.status == 400


@pytest.mark.parametrize("method", ["POST", 5], ids=["a refused proof", "a wrong argument"])
@pytest.mark.parametrize(
    "container",
    [dict, CIMultiDict, list, lambda fields: [(name.encode(), value.encode()) for name, value in fields], str],
    ids=["a mapping", "a multidict", "pairs", "pairs of bytes", "a text"],
)
async def test_the_fields_of_a_request_do_not_show(container: Callable[[Any], Any], method: Any, server: Any) -> None:
    """Neither the error nor a local variable of its traceback has the proof or the access token."""
    proof, token = server.proof(), "an-access-token"
    headers = container([("Authorization", f"DPoP {token}"), ("DPoP", proof)])
    with pytest.raises((InvalidDPoPProof, UsageError)) as refused:
        await server.verifier.verify(method, "/me", headers, access_token=token, confirmation={})
    assert lines_with({proof, token}, shown(refused.value)) == []
