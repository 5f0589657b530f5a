"""The metadata of a protected resource, and where it is."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async.errors import UsageError
from passwordless_async.resource_server.metadata import ResourceMetadata, metadata_path, metadata_url

ISSUER = "https://issuer.example/"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("required", {"dpop_signing_alg_values_supported": ["ES256"], "dpop_bound_access_tokens_required": True}),
        ("preferred", {"dpop_signing_alg_values_supported": ["ES256"], "dpop_bound_access_tokens_required": False}),
        ("off", {"dpop_bound_access_tokens_required": False}),
    ],
)
def test_the_smallest_document(mode: Any, expected: dict[str, Any]) -> None:
    """RFC 9728 §2, §3.2: what the server knows; a member without a value is left out."""
    assert ResourceMetadata().document("https://api.example", issuers=[ISSUER], mode=mode) == {
        "resource": "https://api.example",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        **expected,
    }


def test_the_whole_document() -> None:
    """RFC 9728 §2: names of the standard."""
    metadata = ResourceMetadata(
        scopes_supported="read write",
        resource_name="Messages",
        resource_documentation="https://api.example/docs",
        resource_policy_uri="https://api.example/policy",
        resource_tos_uri="https://api.example/terms",
    )
    assert metadata.document("https://api.example/v1", issuers=[ISSUER, "https://b.example/"], mode="off") == {
        "resource": "https://api.example/v1",
        "authorization_servers": [ISSUER, "https://b.example/"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["read", "write"],
        "dpop_bound_access_tokens_required": False,
        "resource_name": "Messages",
        "resource_documentation": "https://api.example/docs",
        "resource_policy_uri": "https://api.example/policy",
        "resource_tos_uri": "https://api.example/terms",
    }


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://api.example", "/.well-known/oauth-protected-resource"),
        ("https://api.example:8443/v1/things", "/.well-known/oauth-protected-resource/v1/things"),
    ],
)
def test_the_place(resource: str, path: str) -> None:
    """RFC 9728 §3.1: between the host and the path of the resource."""
    assert metadata_path(resource) == path
    assert metadata_url(resource) == "/".join(resource.split("/")[:3]) + path


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("scopes_supported", ["a b"]),
        ("scopes_supported", 1),
        ("resource_name", ""),
        ("resource_name", 1),
        ("resource_documentation", "x" * 2049),
    ],
)
def test_arguments_are_checked(argument: str, value: Any) -> None:
    """Each by its name."""
    with pytest.raises(UsageError) as caught:
        ResourceMetadata(**{argument: value})
    assert caught.value.argument == argument
