"""Reads the tenant's metadata before a flow that needs its endpoints.

Invariants:

- A code or a refresh token is sent only after the metadata was read. Otherwise it could go to an endpoint that does not
  get the client certificate.
- If metadata cannot be renewed, the old one stays in use. If required metadata was never read, nothing is sent.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

from passwordless_async.auth0.metadata import metadata_request, read_endpoints
from passwordless_async.auth0.refusals import failure as failure_of
from passwordless_async.errors import NotSent, OAuthError, ProtocolError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.auth0.tenant import Flow, Tenant

T = TypeVar("T")


def with_endpoints(tenant: Tenant, flow: Callable[[], Flow[T]]) -> Flow[T]:
    """Make a flow that first reads the tenant's metadata, if that is due."""
    return _after_discovery(tenant, flow) if tenant.metadata.due else flow()


def _after_discovery(tenant: Tenant, flow: Callable[[], Flow[T]]) -> Flow[T]:
    yield from discover(tenant)
    return (yield from flow())


def discover(tenant: Tenant) -> Flow[None]:
    """Read the tenant's metadata, and use its endpoints.

    Raises:
        NotSent: It cannot be read, or is another issuer's; nothing else was sent.
    """
    failure: NotSent
    try:
        request = metadata_request(tenant.application)
        response = yield request
        if response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise failure_of(request, response)
        tenant.application = tenant.application.at(read_endpoints(tenant.application, response))
        tenant.metadata.has_read()
    except NotSent as error:
        failure = error.with_traceback(None)
    except (TransportError, OAuthError) as error:
        failure = NotSent(f"the tenant's metadata could not be fetched, so nothing else was sent: {error}")
    except ProtocolError as error:
        failure = NotSent(f"the tenant's metadata cannot be used, so nothing else was sent: {error}").with_facts(
            retryable=False, advice="Check the domain: its /.well-known/openid-configuration is not as it must be."
        )
    else:
        return
    if not tenant.metadata.may_go_on():
        raise failure
