"""Auth0's own verifier for APIs, called for real: it reads our proofs, and judges as our resource server does."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from auth0_api_python import ApiClient, ApiClientOptions
from auth0_api_python.errors import BaseAuthError
from joserfc import jwt
from joserfc.jwk import RSAKey

from helpers.judged_cases import AUDIENCE as CASES_AUDIENCE
from helpers.judged_cases import BASE, KINDS, MAX_PROOF_AGE, NOW, Case, Mode, cases, key_set
from helpers.judged_differences import DIFFERENCES, OTHER_ANSWERS, Verdict, page
from passwordless_async import DPoPKey, ProofGenerator, ResourceServer
from passwordless_async.errors import InvalidDPoPProof, InvalidToken
from passwordless_async.testing.certificates import ThrowAwayCa

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import yarl

ISSUER = "https://acme.eu.auth0.com/"
AUDIENCE = "https://api.example"
URL = "https://api.example/things/%C3%A4?page=2"
SEED = 9449
MODES: tuple[Mode, ...] = ("required", "preferred", "off")
Answer = tuple[int, str] | None  # the status and the error code of a refusal; None: the request is accepted
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "auth0-api-python.md"


@pytest.fixture(scope="module")
def signing_key() -> RSAKey:
    """Make the tenant's key."""
    return RSAKey.generate_key(2048, {"kid": "tenant-key", "alg": "RS256", "use": "sig"})


@pytest.fixture
def api(signing_key: RSAKey) -> ApiClient:
    """Set the verifier up; discovery and key set come from memory."""
    documents: dict[str, dict[str, Any]] = {
        f"{ISSUER}.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": f"{ISSUER}jwks"},
        f"{ISSUER}jwks": {"keys": [signing_key.as_dict(private=False)]},
    }

    async def fetch(url: str, **_: Any) -> dict[str, Any]:
        return documents[url]

    return ApiClient(
        ApiClientOptions(domain="acme.eu.auth0.com", audience=AUDIENCE, dpop_required=True, custom_fetch=fetch)
    )


def bound_token(signing_key: RSAKey, key: DPoPKey) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "email|1", "iat": now, "exp": now + 60}
    return jwt.encode({"alg": "RS256", "kid": "tenant-key"}, claims | {"cnf": {"jkt": key.thumbprint}}, signing_key)


async def test_our_proof_is_accepted(api: ApiClient, signing_key: RSAKey) -> None:
    """A bound token and our proof pass every check of the verifier."""
    key = DPoPKey.generate()
    token = bound_token(signing_key, key)
    proof = ProofGenerator(key).proof("GET", URL, access_token=token)
    claims = await api.verify_request({"authorization": f"DPoP {token}", "dpop": proof}, "GET", URL)
    assert claims["sub"] == "email|1"
    assert claims["cnf"] == {"jkt": key.thumbprint}


@pytest.mark.parametrize(
    ("method", "url", "own_key"),
    [
        ("POST", URL, True),
        ("GET", "https://api.example/other", True),
        ("GET", URL, False),
    ],
    ids=["other method", "other URL", "other key"],
)
async def test_a_wrong_proof_is_refused(
    api: ApiClient, signing_key: RSAKey, method: str, url: str, *, own_key: bool
) -> None:
    """The verifier does look: a proof for another request, or by another key, does not pass."""
    key = DPoPKey.generate()
    token = bound_token(signing_key, key)
    proofs = ProofGenerator(key if own_key else DPoPKey.generate())
    proof = proofs.proof(method, url, access_token=token)
    with pytest.raises(BaseAuthError):
        await api.verify_request({"authorization": f"DPoP {token}", "dpop": proof}, "GET", URL)


class Used:
    """The proofs that were used in one case."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    async def add(self, key: str, expires_at: float, *, owner: str | None = None) -> bool:  # noqa: ARG002 - the protocol
        """Remember a proof; False if it was used before."""
        new = key not in self.names
        self.names.add(key)
        return new


class Judges:
    """Our resource server and the other verifier, at one issuer, with the same settings and the same clock."""

    def __init__(self, issuer: yarl.URL, http: aiohttp.ClientSession) -> None:
        self.issuer, self._http, self._used = str(issuer), http, Used()
        self._ours = {mode: self._our_server(mode) for mode in MODES}
        self._theirs = {mode: self._their_client(mode, str(issuer.authority)) for mode in MODES}

    def _our_server(self, mode: Mode) -> ResourceServer:
        return ResourceServer(
            issuer=self.issuer,
            audience=CASES_AUDIENCE,
            base_url=BASE,
            dpop=mode,
            replay=self._used,
            proof_max_age=MAX_PROOF_AGE,
            algorithms=["RS256"],  # all that the other knows
            clock_skew=0,
            http=self._http,
            clock=lambda: NOW,
        )

    def _their_client(self, mode: Mode, domain: str) -> ApiClient:
        return ApiClient(
            ApiClientOptions(
                domain=domain,
                audience=CASES_AUDIENCE,
                dpop_enabled=mode != "off",
                dpop_required=mode == "required",
                dpop_iat_leeway=0,
                dpop_iat_offset=MAX_PROOF_AGE,
                custom_fetch=self._fetch,
            )
        )

    async def _fetch(self, url: str) -> Any:
        async with self._http.get(url) as response:
            return await response.json()

    async def ours(self, case: Case) -> Answer:
        """Return our answer to a case."""
        self._used.names.clear()
        server = self._ours[case.kind.mode]
        try:
            for _ in range(case.kind.sent):
                await server.authorize(case.method, case.target, case.headers)
        except (InvalidToken, InvalidDPoPProof) as error:
            return error.status, error.error
        return None

    async def theirs(self, case: Case) -> Answer:
        """Return the other's answer; an exception that is none of its refusals is a 500."""
        client = self._theirs[case.kind.mode]
        try:
            for _ in range(case.kind.sent):
                await client.verify_request(case.headers, case.method, f"{BASE}{case.target}")
        except BaseAuthError as error:
            return error.get_status_code(), error.get_error_code()
        except Exception:  # noqa: BLE001 - whatever it is, an application would answer 500
            return 500, "server_error"
        return None


@pytest.fixture
async def judges(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Judges]:
    """Run the issuer on loopback, over TLS: the other verifier knows no other."""
    monkeypatch.setattr("auth0_api_python.api_client.time", SimpleNamespace(time=lambda: NOW))

    async def discover(request: web.Request) -> web.Response:
        issuer = f"https://{request.host}/"
        return web.json_response({"issuer": issuer, "jwks_uri": f"{issuer}jwks"})

    async def publish(_: web.Request) -> web.Response:
        return web.json_response(key_set())

    app, ca = web.Application(), ThrowAwayCa()
    app.router.add_get("/.well-known/openid-configuration", discover)
    app.router.add_get("/jwks", publish)
    server = TestServer(app, scheme="https")
    await server.start_server(ssl=ca.server_context())
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=ca.client_context())) as http:
        yield Judges(server.make_url("/"), http)
    await server.close()


def verdict(answer: Answer) -> Verdict:
    if answer is None:
        return "accepted"
    return "crashes" if answer[0] == 500 else "refused"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Key size should be")  # one of the issuer's keys is too short
async def test_both_judge_alike(judges: Judges) -> None:
    """Each kind of request has the same verdict of both, but for the differences that are listed."""
    judged = {
        (kind.name, case.dialect): (await judges.ours(case), await judges.theirs(case))
        for kind in KINDS
        for case in cases(kind, judges.issuer, SEED)
    }
    assert len(judged) >= 300
    listed = {name: (each.ours, each.theirs) for each in DIFFERENCES for name in each.kinds}
    differing = {
        name: (verdict(ours), verdict(theirs))
        for (name, _), (ours, theirs) in judged.items()
        if verdict(ours) != verdict(theirs)
    }
    assert differing == listed
    answers = {(ours, theirs) for ours, theirs in judged.values() if ours and theirs and theirs[0] != 500}
    assert {pair for pair in answers if pair[0] != pair[1]} == {(each.ours, each.theirs) for each in OTHER_ANSWERS}


def test_the_differences_name_kinds() -> None:
    """No kind is listed twice, and none is there that does not exist."""
    listed = [name for each in DIFFERENCES for name in each.kinds]
    assert len(listed) == len(set(listed))
    assert {kind.name for kind in KINDS}.issuperset(listed)
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_the_page_lists_the_differences() -> None:
    """The documentation says what the tests prove; ``python -m helpers.judged_differences`` prints the page."""
    assert PAGE.read_text(encoding="utf-8") == page()
