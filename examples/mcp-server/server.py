"""An MCP server that accepts only bound tokens: ``python server.py https://acme.eu.auth0.com/``."""

import sys
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

from passwordless_async import Authorized, MemoryReplayStore, ResourceMetadata, ResourceServer
from passwordless_async.adapters.asgi import AUTHORIZED, DPoPASGIMiddleware

mcp = MCPServer("Notes")


@mcp.tool()
def whoami(context: Context[Any, Any]) -> str:
    """Return the user that the access token is for."""
    request: Any = context.request_context.request
    user: Authorized = request[AUTHORIZED]
    return f"{user.subject}, {' '.join(sorted(user.scopes))}"


def make_app(issuer: str, *, base_url: str, audience: str) -> DPoPASGIMiddleware:
    """Return the ASGI application: the MCP endpoint is ``/mcp``, and RFC 9728 metadata is below ``/.well-known``."""
    server = ResourceServer(
        issuer=issuer,
        audience=audience,
        base_url=base_url,
        replay=MemoryReplayStore(),  # several processes share one in Redis
        metadata=ResourceMetadata(scopes_supported=["openid"], resource_name="Notes"),
    )
    # Stateless: each request is authorised for itself, and no session of one user can be continued by another.
    return DPoPASGIMiddleware(mcp.streamable_http_app(stateless_http=True), server=server)


if __name__ == "__main__":
    app = make_app(sys.argv[1], base_url="http://127.0.0.1:8000", audience="https://api.example")
    uvicorn.run(app, host="127.0.0.1", port=8000)
