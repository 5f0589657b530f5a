"""An API whose operations need scopes; each user has notes of their own: see README.md."""

import os
from typing import Annotated

from fastapi import Body, Depends, FastAPI

from passwordless_async import Authorized, MemoryReplayStore, ResourceMetadata, ResourceServer
from passwordless_async.adapters.fastapi import Protect, metadata_router

server = ResourceServer(
    issuer=os.environ["ISSUER"],  # the tenant's URL with a slash at the end, as in its tokens
    audience="https://api.example",
    base_url=os.environ["API"],
    replay=MemoryReplayStore(),  # several processes share one in Redis
    metadata=ResourceMetadata(scopes_supported=["read:notes", "write:notes"], resource_name="Notes"),
)
Reader = Annotated[Authorized, Depends(Protect(server, scopes={"read:notes"}))]
Writer = Annotated[Authorized, Depends(Protect(server, scopes={"write:notes"}))]

app = FastAPI(title="Notes")
app.include_router(metadata_router(server))
notes: dict[str, list[str]] = {}


@app.get("/notes")
async def read(user: Reader) -> list[str]:
    """Return the user's notes."""
    return notes.get(user.subject, [])


@app.post("/notes", status_code=201)
async def write(user: Writer, note: Annotated[str, Body(max_length=1000)]) -> None:
    """Keep a note."""
    notes.setdefault(user.subject, []).append(note)
