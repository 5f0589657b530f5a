"""Flags over the environment over the file; what is refused, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from passwordless_async.cli.gateway.reading import Values, WrongSettings, read
from passwordless_async.cli.gateway.settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REQUIRED = {"domain": "acme.eu.auth0.com", "client_id": "app", "base_url": "https://app.example"}
# Of each setting a text, as of a flag or a variable, and its value.
TEXTS: dict[str, tuple[str, Any]] = {
    "domain": ("acme.eu.auth0.com", "acme.eu.auth0.com"),
    "client_id": ("app", "app"),
    "client_auth": ("private_key_jwt", "private_key_jwt"),
    "client_secret_from": ("file:/run/secret", "file:/run/secret"),
    "client_key_from": ("file:/run/key", "file:/run/key"),
    "client_key_alg": ("PS256", "PS256"),
    "client_key_id": ("k1", "k1"),
    "client_certificate": ("/run/cert", Path("/run/cert")),
    "client_certificate_key": ("/run/key", Path("/run/key")),
    "scope": ("openid", "openid"),
    "audience": ("https://api.example", "https://api.example"),
    "dpop": ("preferred", "preferred"),
    "base_url": ("https://app.example", "https://app.example"),
    "identifiers": ("email", ("email",)),
    "magic_link": ("true", True),
    "captcha": (
        "script=https://c.example/api.js site_key=k css_class=c field=f sources=https://a.example",
        {
            "script": "https://c.example/api.js",
            "site_key": "k",
            "css_class": "c",
            "field": "f",
            "sources": ("https://a.example",),
        },
    ),
    "return_to": ("/a,/b", ("/a", "/b")),
    "home": ("/app/start", "/app/start"),
    "brand": ("Acme", "Acme"),
    "templates": ("/etc/pages", Path("/etc/pages")),
    "css": ("/etc/own.css", Path("/etc/own.css")),
    "session_for": ("3600", 3600.0),
    "remember_for": ("86400", 86400.0),
    "max_sessions": ("5", 5),
    "trusted_proxies": ("2", 2),
    "calling_codes": ("49 43", ("49", "43")),
    "budgets": ("starts_per_user=3", {"starts_per_user": 3}),
    "sms": ("per_hour=3", {"per_hour": 3}),
    "store": ("redis://cache.internal", "redis://cache.internal"),
    "store_from": ("file:/run/store", "file:/run/store"),
    "prefix": ("app", "app"),
    "keys": ("/run/keys.json", Path("/run/keys.json")),
    "upstreams": ("/api/=https://api.example", ({"prefix": "/api/", "url": "https://api.example"},)),
    "host": ("0.0.0.0", "0.0.0.0"),  # noqa: S104 - nothing listens there
    "port": ("80", 80),
    "workers": ("4", 4),
    "unix_socket": ("/run/gateway.sock", Path("/run/gateway.sock")),
    "shutdown_seconds": ("5", 5.0),
    "access_log": ("/var/log/access", "/var/log/access"),
    "audit_log": ("-", "-"),
    "metrics_port": ("9090", 9090),
    "telemetry": ("opentelemetry", "opentelemetry"),
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Return what writes a file of settings."""

    def write(text: str) -> Path:
        file = tmp_path / "gateway.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def known(flags: Mapping[str, Any], environment: Mapping[str, str] | None = None, file: Path | None = None) -> Values:
    """Return what is set, with the settings that are required as flags."""
    return read({**REQUIRED, **flags}, environment or {}, file)


def problems(
    flags: Mapping[str, Any], environment: Mapping[str, str] | None = None, file: Path | None = None
) -> list[str]:
    """Return what is told of wrong settings."""
    with pytest.raises(WrongSettings) as raised:
        known(flags, environment, file)
    return raised.value.message.splitlines()


def test_a_device_is_not_read_to_its_end() -> None:
    """It has none: a megabyte tells."""
    with pytest.raises(WrongSettings, match="is over 1,048,576 bytes: it is the wrong file"):
        read(REQUIRED, {}, Path("/dev/zero"))


def test_every_setting_is_tried() -> None:
    """The table above has all of them."""
    assert TEXTS.keys() == SETTINGS.keys()


@pytest.mark.parametrize("name", list(TEXTS))
def test_sources(name: str, written: Callable[[str], Path]) -> None:
    """A setting is taken from the file, over that from the environment, and over that from a flag; each is named."""
    text, value = TEXTS[name]
    setting = SETTINGS[name]
    given = {other: each for other, each in REQUIRED.items() if other != name}
    number = isinstance(value, int | float)
    file = written(f"{name} = {text if number else repr(text)}\n")
    broken: Mapping[str, Any] = {setting.variable: "\n"}
    from_file = read(given, {}, file)
    assert (from_file.of[name], from_file.sources[name]) == (value, f"{name} in gateway.toml")
    wrong = written(f"{name} = 1979-05-27\n")
    from_environment = read(given, {setting.variable: text}, wrong)
    assert (from_environment.of[name], from_environment.sources[name]) == (value, setting.variable)
    flag = (text,) if setting.is_multiple else text
    from_flag = read({**given, name: flag}, broken, wrong)
    assert (from_flag.of[name], from_flag.sources[name]) == (value, setting.option)
    assert name in from_flag.given


def test_defaults() -> None:
    """A setting that is not given has its default, and is named by the flag that would change it."""
    values = known({"budgets": (), "port": None}, {"PASSWORDLESS_ASYNC_PORT": ""})
    assert {name: values.of[name] for name in ("port", "store", "upstreams", "audience", "budgets")} == {
        "port": 8000,
        "store": "memory",
        "upstreams": (),
        "audience": None,
        "budgets": None,
    }
    assert (values.sources["port"], "port" in values.given) == ("--port", False)


def test_tables_of_upstreams(written: Callable[[str], Path]) -> None:
    """In the file an upstream has all that the library's has."""
    text = '[[upstreams]]\nprefix = "/api/"\nurl = "https://api.example"\nscopes = ["read"]\ntimeout = 5.0\n'
    values = known({}, file=written(text))
    assert values.of["upstreams"] == (
        {"prefix": "/api/", "url": "https://api.example", "scopes": ["read"], "timeout": 5.0},
    )


LINE = "every user of this machine sees the command line"
COPIED = "a file of settings is copied and committed"


@pytest.mark.parametrize("secret", ["client_secret", "client_key"])
def test_no_secret_in_flags_and_files(secret: str, written: Callable[[str], Path]) -> None:
    """The sentence says why, and where it belongs."""
    option, variable = f"--{secret.replace('_', '-')}", f"PASSWORDLESS_ASYNC_{secret.upper()}"
    assert problems({secret: "s3cret"}) == [
        (
            f"{option}: secrets cannot be flags, because {LINE}; put it into {variable}, or into a file that "
            f"{option}-from names."
        )
    ]
    assert problems({}, file=written(f'{secret} = "s3cret"')) == [
        (
            f"{secret} in gateway.toml: the file must not have a secret, because {COPIED}; put it into {variable}, "
            f"or into a file that {secret}_from names."
        )
    ]


def test_a_secret_in_the_environment() -> None:
    """It is taken from there; where a file is named, that counts."""
    values = known({}, {"PASSWORDLESS_ASYNC_CLIENT_SECRET": "s3cret"})
    assert (values.of["client_secret_from"], values.sources["client_secret_from"]) == (
        "env:PASSWORDLESS_ASYNC_CLIENT_SECRET",
        "PASSWORDLESS_ASYNC_CLIENT_SECRET",
    )
    named = known({"client_secret_from": "file:/run/secret"}, {"PASSWORDLESS_ASYNC_CLIENT_SECRET": "s3cret"})
    assert named.of["client_secret_from"] == "file:/run/secret"
    assert "s3cret" not in repr(values)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@cache",
        "redis+cluster://user:s3cret@one:1,two:2",
        "redis://[:s3cret@",
        "unix:///run/redis.sock?password=s3cret",
    ],
)
def test_a_password_of_the_store(url: str, written: Callable[[str], Path]) -> None:
    """It stands in the environment alone."""
    assert known({}, {"PASSWORDLESS_ASYNC_STORE": url}).of["store"] == url
    rest = "put the URL into PASSWORDLESS_ASYNC_STORE, or into a file that --store-from names."
    assert problems({"store": url}) == [f"--store: must have no password, for {LINE}; {rest}"]
    assert problems({}, file=written(f'store = "{url}"')) == [
        f"store in gateway.toml: must have no password, for {COPIED}; {rest}"
    ]


def test_all_that_is_wrong_is_told_at_once(written: Callable[[str], Path]) -> None:
    """A sentence each, with where the setting came from; values are not quoted."""
    file = written('brand = 5\nhots = "x"\n')
    with pytest.raises(WrongSettings) as raised:
        read({"port": "x"}, {"PASSWORDLESS_ASYNC_DPOP": "maybe"}, file)
    assert raised.value.exit_code == 2
    assert raised.value.message.splitlines() == [
        "hots in gateway.toml: there is no such setting (did you mean host?).",
        "PASSWORDLESS_ASYNC_DPOP: must be required, preferred or off.",
        "brand in gateway.toml: must be a one-line string, and not empty.",
        "--port: must be a whole number from 0 to 65535.",
        "domain is missing: give --domain, PASSWORDLESS_ASYNC_DOMAIN or domain in the file of --config.",
        "client_id is missing: give --client-id, PASSWORDLESS_ASYNC_CLIENT_ID or client_id in the file of --config.",
        "base_url is missing: give --base-url, PASSWORDLESS_ASYNC_BASE_URL or base_url in the file of --config.",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a = = 1", "is not TOML: Invalid value (at line 1, column 5)."),
        (b"\xff", "is not TOML in UTF-8."),
        (b"a = " + b"[" * 100_000, "is not TOML in UTF-8."),
        (b"#" * 1_048_577, "is over 1,048,576 bytes: it is the wrong file."),
        (None, "cannot be read: No such file or directory."),
    ],
    ids=["syntax", "bytes", "depth", "size", "missing"],
)
def test_a_file_that_cannot_be_read(content: bytes | None, problem: str, tmp_path: Path) -> None:
    """The sentence names the file."""
    file = tmp_path / "gateway.toml"
    if content is not None:
        file.write_bytes(content)
    assert problems({}, file=file) == [f"--config: {file} {problem}"]
