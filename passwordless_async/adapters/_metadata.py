"""The metadata of a protected resource (RFC 9728), as the web adapters serve it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from passwordless_async.adapters._hosts import NamedHosts
from passwordless_async.errors import UsageError
from passwordless_async.resource_server.metadata import metadata_path
from passwordless_async.resource_server.server import ResourceServer, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passwordless_async.dpop.server.fields import Headers
    from passwordless_async.dpop.server.verifier import DPoPVerifier

# RFC 9728 §3.2. It is public: pages of any origin may read it.
HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "max-age=3600",
    "Access-Control-Allow-Origin": "*",
}


class MetadataDocuments:
    """The documents of an API, by their paths; hosts that share a path have one each.

    Args:
        server: The resource server; a verifier has no documents.
        trusted_proxies: The number of proxies in front of the application that add to the forwarding fields.
    """

    __slots__ = ("_by_path",)

    def __init__(self, server: ResourceServer | DPoPVerifier, *, trusted_proxies: int) -> None:
        bases: dict[str, dict[str, bytes]] = {}
        if isinstance(server, ResourceServer) and parts_of(server).metadata is not None:
            for base in parts_of(server).guards:
                document = json.dumps(server.metadata_document(base)).encode()
                bases.setdefault(metadata_path(base), {})[base] = document
        self._by_path = {
            path: NamedHosts(documents, trusted_proxies=trusted_proxies) for path, documents in bases.items()
        }

    @classmethod
    def required(cls, server: ResourceServer, *, trusted_proxies: int) -> MetadataDocuments:
        """Return the documents; a server that publishes none raises :class:`UsageError`."""
        parts_of(server)
        documents = cls(server, trusted_proxies=trusted_proxies)
        if not documents._by_path:
            raise UsageError("server", "has no metadata: give ResourceServer metadata=ResourceMetadata()")
        return documents

    @property
    def paths(self) -> Iterable[str]:
        """The paths that documents are served at."""
        return self._by_path.keys()

    def get(self, path: str, headers: Headers) -> bytes | None:
        """Return the document at a path, as JSON; None if there is none."""
        found = self._by_path.get(path)
        return None if found is None else found.choose(headers)
