"""The documents that the adapters serve."""

from __future__ import annotations

import json

from helpers.apis import BASE, make_server
from passwordless_async import ResourceMetadata
from passwordless_async.adapters._metadata import MetadataDocuments


def test_hosts_that_share_a_path_have_a_document_each() -> None:
    """Chosen by the host that was asked; another one gets the first."""
    server = make_server(base_url=[BASE, "https://b.example"], metadata=ResourceMetadata())
    documents = MetadataDocuments(server, trusted_proxies=0)
    (path,) = documents.paths
    resources = [
        json.loads(documents.get(path, [("Host", host)]) or b"{}")["resource"]
        for host in ("api.example", "b.example", "evil.example")
    ]
    assert resources == [BASE, "https://b.example", BASE]


def test_other_paths_have_none() -> None:
    """Nor has a server without metadata any."""
    documents = MetadataDocuments(make_server(metadata=ResourceMetadata()), trusted_proxies=0)
    assert documents.get("/.well-known/oauth-protected-resource/v1", ()) is None
    assert list(MetadataDocuments(make_server(), trusted_proxies=0).paths) == []
