"""The guides of the frameworks: while the store is unreachable, their applications answer 503."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from helpers.pages import DOCS, blocks_of

if TYPE_CHECKING:
    from pathlib import Path

GUIDES = ("fastapi", "starlette", "quart", "django", "aiohttp-web")
# What a guide says to change besides.
CHANGES = {
    "django": (".hex())", '.hex(), MIDDLEWARE=[f"{__name__}.StoreUnavailableMiddleware"])'),
    "aiohttp-web": ("app = web.Application()", ""),
}
STORE = """
from passwordless_async import MemoryStore, StoreUnavailable

class UnreachableStore(MemoryStore):
    async def read(self, *_, **__):
        raise StoreUnavailable("the store is unreachable")
"""
PROGRAM = """
import asyncio, importlib, json, sys
import httpx
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

COOKIE = {"Cookie": "session=" + "a" * 60}

async def asked(name):
    module = importlib.import_module(name)
    async with module.client:
        if isinstance(module.app, web.Application):
            module.app.cleanup_ctx.clear()
            async with TestClient(TestServer(module.app)) as http, http.get("/me", headers=COOKIE) as answer:
                return answer.status, answer.headers.get("Retry-After"), await answer.text()
        transport = httpx.ASGITransport(module.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            answer = await http.get("/me", headers=COOKIE)
            return answer.status_code, answer.headers.get("Retry-After"), answer.text

sys.path.insert(0, "")
print(json.dumps([asyncio.run(asked(name)) for name in sys.argv[1:]]))
"""


def _write(folder: Path, guide: str) -> str:
    """Write a guide's application, with its handler and with a store that is unreachable; return its name."""
    blocks = blocks_of(DOCS / "how-to" / f"{guide}.md")
    (application,) = (block.text for block in blocks if block.detail == "app.py")
    (handler,) = (block.text for block in blocks if block.detail.startswith("part of app.py"))
    changes = [('os.environ["CLIENT_ID"]', 'os.environ["CLIENT_ID"], store=UnreachableStore()')]
    for before, after in [*changes, *([CHANGES[guide]] if guide in CHANGES else [])]:
        assert application.count(before) == 1
        application = application.replace(before, after)
    # Above what uses it, where something does.
    above = {"django": "urlpatterns = ", "aiohttp-web": "app.cleanup_ctx"}.get(guide)
    head, found, tail = application.partition(above) if above else (application, "", "")
    text = f"{STORE}\n{head}\n{handler}\n{found}{tail}"
    name = guide.replace("-", "_") + "_app"
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return name


def test_every_guide_answers_an_unreachable_store(tmp_path: Path) -> None:
    """With the handler of its page, it says that the user may try again later; without one, it would be a 500."""
    names = [_write(tmp_path, guide) for guide in GUIDES]
    settings = {"AUTH0_DOMAIN": "acme.eu.auth0.com", "CLIENT_ID": "app", "API": "http://127.0.0.1:8001"}
    environment = {**os.environ, **settings, "SITE": "http://127.0.0.1:8000"}
    done = subprocess.run(  # noqa: S603 - our own guides
        [sys.executable, "-c", PROGRAM, *names],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [(status, later, json.loads(text)) for status, later, text in json.loads(done.stdout)]
    assert answers == [(503, "5", {"detail": "Try again later"})] * len(GUIDES)
