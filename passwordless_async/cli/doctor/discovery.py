"""What the tenant publishes: its discovery document (OpenID Connect Discovery §4) and its signing keys."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from passwordless_async.auth0.jwks import read_jwks
from passwordless_async.cli.doctor.findings import Finding, Status, not_checked, shortened
from passwordless_async.errors import PasswordlessError, TransportError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from passwordless_async._common.http import HttpResponse
    from passwordless_async.auth0.application import Application

REACHABLE, DISCOVERY, ISSUER, DPOP, KEYS = "reachable", "discovery", "issuer", "DPoP", "signing keys"
WHERE_DOMAIN = "Take the domain from Applications > (your application) > Settings > Domain, or your custom domain."


def judge_discovery(application: Application, answer: HttpResponse | PasswordlessError) -> tuple[Finding, ...]:
    """Judge the answer to the request for the discovery document."""
    if isinstance(answer, TransportError):
        where = f"Check the network and the domain. {WHERE_DOMAIN}"
        return (Finding(REACHABLE, Status.FAILED, str(answer), where), *not_checked(DISCOVERY, ISSUER, DPOP))
    reachable = Finding(REACHABLE, Status.OK, f"{application.origin} answers")
    if isinstance(answer, PasswordlessError):
        return reachable, *_no_document(str(answer))
    document = answer.json_object() if answer.status == HTTPStatus.OK else None
    if document is None:
        return reachable, *_no_document(f"no JSON object (status {answer.status})")
    present = Finding(DISCOVERY, Status.OK, "the document is there")
    return reachable, present, _judge_issuer(application, document), _judge_algorithms(document)


def judge_keys(answer: HttpResponse | PasswordlessError) -> Finding:
    """Judge the answer to the request for the keys that ID tokens are signed with."""
    try:
        if isinstance(answer, PasswordlessError):
            raise answer
        keys = read_jwks(answer)
    except PasswordlessError as error:
        where = "ID tokens cannot be checked. Look at Settings > Signing Keys, and at any proxy before the tenant."
        return Finding(KEYS, Status.FAILED, str(error), where)
    return Finding(KEYS, Status.OK, f"{len(keys)} usable")


def _no_document(detail: str) -> tuple[Finding, ...]:
    where = f"This does not look like a tenant. {WHERE_DOMAIN}"
    return Finding(DISCOVERY, Status.FAILED, detail, where), *not_checked(ISSUER, DPOP)


def _judge_issuer(application: Application, document: Mapping[str, Any]) -> Finding:
    issuer = document.get("issuer")
    if issuer == application.issuer:
        return Finding(ISSUER, Status.OK, application.issuer)
    detail = f"the tenant calls itself {shortened(issuer)}, not {application.issuer}"
    return Finding(ISSUER, Status.FAILED, detail, f"Every ID token would be refused. {WHERE_DOMAIN}")


def _judge_algorithms(document: Mapping[str, Any]) -> Finding:
    algorithms = document.get("dpop_signing_alg_values_supported")
    if isinstance(algorithms, list) and "ES256" in algorithms:
        return Finding(DPOP, Status.OK, "ES256 is offered")
    what = "ES256 is not offered" if algorithms is not None else "DPoP is not offered"
    where = "Have sender constraining (DPoP) enabled for the tenant; its plan or its version may lack it."
    return Finding(DPOP, Status.FAILED, f"{what} in dpop_signing_alg_values_supported", where)
