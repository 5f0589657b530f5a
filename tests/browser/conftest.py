"""A browser, and two gateway workers on one Redis that it uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from helpers import chromium as browsers
from helpers import workers
from helpers.redis_fixtures import lacks
from passwordless_async.gateway import Budgets, Captcha, Upstream
from passwordless_async.testing import TenantSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from helpers.chromium import Chromium, Window
    from helpers.workers import Workers

OPTIONS: dict[str, Any] = {
    "brand": "Acme",
    "remember_for": 86_400.0,
    "budgets": Budgets(starts_per_user=6),
    "upstreams": [Upstream("/api/", "http://127.0.0.1:9")],  # a port that is not listened on
}
VARIANTS = [(language, scripts) for language in ("en", "de") for scripts in (True, False)]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Run the browser; without it a test is skipped, or fails where servers are required."""
    lacking = browsers.missing()
    if lacking is not None:
        lacks(lacking)
    with browsers.Chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def own_redis(redis_program: ModuleType) -> Iterator[Any]:
    """Run a Redis for the workers alone; it can be stopped without harm to other tests."""
    with redis_program.RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def _site(own_redis: Any) -> Iterator[Workers]:
    with workers.running(own_redis.url, TenantSettings(), **OPTIONS) as running:
        yield running


@pytest.fixture(scope="session")
def _strict_site(own_redis: Any) -> Iterator[Workers]:
    with workers.running(own_redis.url, TenantSettings(mfa_policy="always"), **OPTIONS) as running:
        yield running


@pytest.fixture(scope="session")
def link_site(own_redis: Any) -> Iterator[Workers]:
    """Return a site that offers login by a link, and has a captcha, whose provider cannot be reached."""
    captcha = Captcha(
        script="https://captcha.example/widget.js", site_key="site-key", css_class="widget", field="widget-answer"
    )
    with workers.running(own_redis.url, TenantSettings(), **OPTIONS, magic_link=True, captcha=captcha) as running:
        yield running


@pytest.fixture
def site(_site: Workers) -> Iterator[Workers]:
    """Return a site whose tenant asks users for a second factor that have one."""
    yield _site
    _site.clock.ahead = 0.0
    _site.tenant.faults.clear()


@pytest.fixture
def strict_site(_strict_site: Workers) -> Workers:
    """Return a site whose tenant asks every user for a second factor."""
    return _strict_site


@pytest.fixture(params=VARIANTS, ids=lambda each: f"{each[0]}-{'scripts' if each[1] else 'none'}")
def variant(request: pytest.FixtureRequest) -> tuple[str, bool]:
    """Give each language, with and without scripts."""
    chosen: tuple[str, bool] = request.param
    return chosen


@pytest.fixture
def window(
    chromium: Chromium, variant: tuple[str, bool], request: pytest.FixtureRequest
) -> Callable[[Workers], Window]:
    """Give what opens a window at a site."""
    language, scripts = variant
    journey = request.function.__name__.removeprefix("test_").replace("_", "-")

    def opened(site: Workers) -> Window:
        return browsers.Window(chromium, site.origin + workers.MOUNT, language, scripts, journey)

    return opened
