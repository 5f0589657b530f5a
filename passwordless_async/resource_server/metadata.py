"""The metadata of a protected resource (RFC 9728): the document and its path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from passwordless_async._common import arguments as _check
from passwordless_async.dpop.server.refusal import ALGORITHMS
from passwordless_async.resource_server.requirements import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from passwordless_async.auth0.tenant import DPoPMode

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_MAX_TEXT = 2048  # characters


@attrs.frozen(kw_only=True)
class ResourceMetadata:
    """The metadata that an API publishes, in addition to that of its server (RFC 9728 §2).

    Args:
        scopes_supported: The scopes that clients may ask for.
        resource_name: A readable name.
        resource_documentation: The URL of a page for developers.
        resource_policy_uri: The URL of a page about the use of data.
        resource_tos_uri: The URL of the terms of service.
    """

    scopes_supported: Iterable[str] = ()
    resource_name: str | None = None
    resource_documentation: str | None = None
    resource_policy_uri: str | None = None
    resource_tos_uri: str | None = None

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "scopes_supported", names("scopes_supported", self.scopes_supported))
        for name, value in attrs.asdict(self, recurse=False).items():
            if name != "scopes_supported" and value is not None:
                _check.bounded(name, value, at_most=_MAX_TEXT)

    def document(self, resource: str, *, issuers: Iterable[str], mode: DPoPMode) -> Mapping[str, Any]:
        """Return the document of one resource, by its URL."""
        members: dict[str, Any] = {
            "resource": resource,
            "authorization_servers": list(issuers),
            "bearer_methods_supported": ["header"],
            "scopes_supported": list(self.scopes_supported) or None,
            "dpop_signing_alg_values_supported": None if mode == "off" else list(ALGORITHMS),
            "dpop_bound_access_tokens_required": mode == "required",
            **attrs.asdict(self, filter=attrs.filters.exclude("scopes_supported")),
        }
        # RFC 9728 §3.2: a parameter without a value is left out.
        return {name: value for name, value in members.items() if value is not None}


def metadata_path(resource: str) -> str:
    """Return the path of the document of a resource: the resource's own path comes after (RFC 9728 §3.1)."""
    _, _, path = resource.partition("://")[2].partition("/")
    return f"{_WELL_KNOWN}/{path}" if path else _WELL_KNOWN


def metadata_url(resource: str) -> str:
    """Return the URL of the document of a resource."""
    scheme, _, rest = resource.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}{metadata_path(resource)}"
