"""A real browser, headless: what a person sees and does, and what there is to say against a page.

One browser serves all tests of a process. Language, scripts, width and colours are set for each window through the
protocol of its developer tools, so none of them needs another browser.
"""

from __future__ import annotations

import base64
import itertools
import os
import shutil
import tomllib
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

import attrs
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions as expected
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.remote.webelement import WebElement

PROGRAMS = ("chromium", "chromedriver")
AXE = "PASSWORDLESS_ASYNC_AXE"
"""The environment variable that names axe-core's ``axe.min.js``, if it is elsewhere than in the cache."""
SCREENSHOTS = "PASSWORDLESS_ASYNC_SCREENSHOTS"
"""The environment variable that names a folder for a picture of each page; without it none is taken."""
NARROW, WIDE = 320, 1280  # CSS pixels: 320 is 1280 at 400 % (WCAG 2.2, 1.4.10)
_ZOOMED = WIDE // 2  # 1280 at 200 %
_HEIGHT = 800
_PATIENCE = 15  # seconds, for a page to come
_GLANCE = 0.02  # seconds between two looks whether it has come
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing leaves the machine
)
_TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
_RUN_AXE = """
const [options, done] = arguments;
const told = ({id, nodes}) => nodes.map(({html, failureSummary}) => `${id}: ${html} ${failureSummary}`);
axe.run(document, options).then(({violations}) => done(violations.flatMap(told)), error => done([`${error}`]));
"""
_FOCUSABLE = "a[href], button:enabled, input:enabled:not([type=hidden])"
_FOCUSED = """
const {top, bottom} = document.activeElement.getBoundingClientRect();
const order = [...document.querySelectorAll(arguments[0])].indexOf(document.activeElement);
const {outlineStyle, outlineWidth} = getComputedStyle(document.activeElement);
return [order, outlineStyle === "none" ? 0 : parseFloat(outlineWidth), top + scrollY, bottom + scrollY];
"""


def cache() -> Path:
    """Return the folder that ``npm install --prefix`` is to leave axe-core in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "passwordless-async"


def axe_path() -> Path:
    """Return where axe-core is: in the cache, unless it is named otherwise."""
    return Path(os.environ.get(AXE) or cache() / "node_modules" / "axe-core" / "axe.min.js")


def missing() -> str | None:
    """Return what a browser test lacks on this machine, as a sentence; None if it lacks nothing."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"there is no {' and no '.join(absent)}; Debian: apt-get install chromium chromium-driver"
    if not axe_path().exists():
        return f"there is no axe-core at {axe_path()}: npm install --prefix {cache()} axe-core"
    return None


@lru_cache
def texts(language: str) -> dict[str, dict[str, str]]:
    """Return the gateway's texts in a language, as its file has them."""
    file = resources.files("passwordless_async.gateway.texts") / f"{language}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))


class Chromium:
    """The browser; it ends with the ``with``."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which(PROGRAMS[0]) or ""
        for argument in _ARGUMENTS:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which(PROGRAMS[1])))
        self.agent = str(self.tools("Browser.getVersion")["userAgent"]).replace("Headless", "")
        self.axe = axe_path().read_text(encoding="utf-8")

    def tools(self, command: str, **parameters: Any) -> Any:
        """Give a command of the developer tools' protocol."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()


@attrs.define
class Window:
    """A window of the browser at a site, with a language, and with or without scripts.

    Attributes:
        browser: The browser.
        base: What paths follow: the site's origin and the gateway's mount.
        language: What the browser asks for, and the pages must be in.
        scripts: Whether pages may run scripts.
        journey: The first part of the names of pictures.
        looked: How many pages were looked at.
    """

    browser: Chromium
    base: str
    language: str
    scripts: bool
    journey: str
    looked: int = 0

    def __attrs_post_init__(self) -> None:
        self._driver.delete_all_cookies()
        self.browser.tools("Network.clearBrowserCookies")
        agent = {"userAgent": self.browser.agent, "acceptLanguage": self.language}
        self.browser.tools("Emulation.setUserAgentOverride", **agent)
        self._allow(scripts=self.scripts)
        self._resize(WIDE)

    @property
    def _driver(self) -> Any:
        return self.browser.driver

    # --- what a person does

    def open(self, path: str) -> None:
        self._driver.get(self.base + path)

    def follow(self, link: str) -> None:
        """Open a link of a mail."""
        self._driver.get(link)

    def type(self, **fields: str) -> None:
        """Type into fields."""
        for name, value in fields.items():
            field = self._driver.find_element(By.NAME, name)
            field.clear()
            field.send_keys(value)

    def press(self, css: str = "main form button", **fields: str) -> None:
        """Type into fields, press a button or follow a link, and wait for the page that comes."""
        self.type(**fields)
        self._leave(self._driver.find_element(By.CSS_SELECTOR, css))

    def enter(self, **fields: str) -> None:
        """Type into fields, and press Enter in the last."""
        here = self._html()
        self.type(**fields)
        self._driver.switch_to.active_element.send_keys(Keys.ENTER)
        self._wait().until(expected.staleness_of(here))

    def press_named(self, key: str) -> None:
        """Press the button, or follow the link, that has a text of the catalog."""
        wanted = self.text(key)
        self._leave(next(each for each in self._all("button, a") if each.text.startswith(wanted)))

    def post_from_elsewhere(self, path: str) -> None:
        """Press a button of a page of another origin, whose form is sent to a path here."""
        form = f"<form method=post action={self.base}{path}><button>x</button></form>"
        self._driver.get(f"data:text/html,{quote(form)}")
        self.press("button")

    def forget(self, cookie: str) -> None:
        """Lose a cookie, as another browser has none."""
        self._driver.delete_cookie(cookie)

    @contextmanager
    def another_tab(self) -> Iterator[None]:
        """Do something in another tab, which is closed then."""
        first = self._driver.current_window_handle
        self._driver.switch_to.new_window("tab")
        yield
        self._driver.close()
        self._driver.switch_to.window(first)

    def come(self, path: str) -> None:
        """Wait until the page at a path has come by itself."""
        self._wait().until(lambda _: self.path == path)

    def _html(self) -> WebElement:
        element: WebElement = self._driver.find_element(By.TAG_NAME, "html")
        return element

    def _wait(self) -> WebDriverWait[Any]:
        # While a page is replaced by the next one, the driver may be asked for what is in neither.
        ignored = (WebDriverException,)
        return WebDriverWait(self._driver, _PATIENCE, poll_frequency=_GLANCE, ignored_exceptions=ignored)

    def _leave(self, element: WebElement) -> None:
        here = self._html()
        element.click()
        self._wait().until(expected.staleness_of(here))

    # --- what a person sees

    @property
    def path(self) -> str:
        """The path below the mount."""
        url = str(self._driver.current_url)
        return url.removeprefix(self.base) if url.startswith(self.base) else urlsplit(url).path

    @property
    def title(self) -> str:
        return str(self._driver.find_element(By.TAG_NAME, "h1").text)

    @property
    def alerts(self) -> list[str]:
        return [each.text for each in self._all("[role=alert]")]

    @property
    def body(self) -> str:
        return str(self._driver.find_element(By.TAG_NAME, "main").text)

    def count(self, css: str) -> int:
        return len(self._all(css))

    def text(self, key: str, kind: str = "page") -> str:
        """Return a text of the catalog, up to the first fact that it names."""
        return texts(self.language)[kind][key].partition("{")[0]

    def problem(self, key: str) -> str:
        return self.text(key, "problem")

    def _all(self, css: str) -> list[WebElement]:
        return list(self._driver.find_elements(By.CSS_SELECTOR, css))

    # --- what there is to say against a page

    def faults(self, name: str) -> list[str]:
        """Look at the page at each width, in light and dark; return what is wrong with it, and take its pictures."""
        self.looked += 1
        self._allow(scripts=True)  # for the tools; the page's own scripts had their chance
        self._driver.execute_script(self.browser.axe)
        found = [
            *self._faults_at(NARROW, name),
            # Scripts change neither colours nor sizes: one look at these is enough.
            *(self._faults_in_the_dark(name) if self.scripts else ()),
            *(self._faults_when_enlarged() if self.scripts else ()),
            *self._faults_at(WIDE, name),
            *self._faults_of_the_language(),
            *self._complaints(),
        ]
        self._allow(scripts=self.scripts)
        return found

    def faults_of_keyboard(self) -> list[str]:
        """Go through the page by the tabulator; return what is wrong: an order that jumps, a focus that is not seen."""
        if not self.scripts:
            return []  # as above
        places = [self._focused(), *(self._next() for _ in self._all(_FOCUSABLE)[1:])]
        if places[0][0] == -1:  # nothing was focused to begin with
            places = [*places[1:], self._next()]
        orders = [int(place[0]) for place in places]
        unseen = [f"{order} has no visible focus" for order, place in zip(orders, places, strict=True) if not place[1]]
        jumps = [
            f"{after[0]} comes after {before[0]}, and is above it"
            for before, after in itertools.pairwise(places)
            if after[3] <= before[2]
        ]
        return [*([] if orders == sorted(orders) else [f"order {orders}"]), *unseen, *jumps]

    def _faults_at(self, width: int, name: str) -> Iterator[str]:
        self._resize(width)
        yield from self._overflow(f"{width} pixels")
        yield from self._axe(list(_TAGS))
        self._picture(f"{name}.{width}")

    def _faults_in_the_dark(self, name: str) -> Iterator[str]:
        self._prefer("dark")
        yield from self._axe(["color-contrast"], kind="rule")
        self._picture(f"{name}.{NARROW}.dark")
        self._prefer("light")

    def _faults_when_enlarged(self) -> Iterator[str]:
        self._resize(_ZOOMED)
        yield from self._overflow("200 %")
        self._driver.execute_script("document.documentElement.style.fontSize = '200%'")
        yield from self._overflow("text of 200 % at 200 %")
        self._driver.execute_script("document.documentElement.removeAttribute('style')")

    def _faults_of_the_language(self) -> Iterator[str]:
        language = self._html().get_attribute("lang")
        if language != self.language:
            yield f"the page is in {language}"

    def _complaints(self) -> Iterator[str]:
        """Yield what the browser complains of: violations of the page's policy, errors of scripts."""
        for entry in self._driver.get_log("browser"):
            # That a page has a status such as 403 is no complaint.
            if entry["source"] != "network":
                yield entry["message"]

    def _overflow(self, when: str) -> Iterator[str]:
        inside, width = self._driver.execute_script(
            "const {scrollWidth, clientWidth} = document.documentElement; return [scrollWidth, clientWidth]"
        )
        if inside > width:
            yield f"at {when} the page is {inside} wide and the window {width}"

    def _axe(self, values: list[str], kind: str = "tag") -> list[str]:
        options = {"runOnly": {"type": kind, "values": values}, "resultTypes": ["violations"], "preload": False}
        return list(self._driver.execute_async_script(_RUN_AXE, options))

    def _focused(self) -> list[float]:
        return list(self._driver.execute_script(_FOCUSED, _FOCUSABLE))

    def _next(self) -> list[float]:
        for kind in ("keyDown", "keyUp"):
            self.browser.tools("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        return self._focused()

    def _allow(self, *, scripts: bool) -> None:
        self.browser.tools("Emulation.setScriptExecutionDisabled", value=not scripts)

    def _resize(self, width: int) -> None:
        size = {"width": width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self.browser.tools("Emulation.setDeviceMetricsOverride", **size)

    def _prefer(self, colours: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": colours}]
        self.browser.tools("Emulation.setEmulatedMedia", features=features)

    def _picture(self, name: str) -> None:
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            variant = f"{self.language}{'' if self.scripts else '.noscript'}"
            shot = self.browser.tools("Page.captureScreenshot", captureBeyondViewport=True)
            path = Path(folder) / f"{self.journey}-{self.looked:02}-{name}.{variant}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(base64.b64decode(shot["data"]))
