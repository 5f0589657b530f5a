"""Every setting of the gateway, in one table: as a flag, in the environment, and in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import attrs

from passwordless_async.auth0.client_auth import AssertionAlgorithm
from passwordless_async.auth0.tenant import DPoPMode
from passwordless_async.cli.gateway import kinds
from passwordless_async.cli.options import METHODS
from passwordless_async.gateway.budgets import Budgets, Sms
from passwordless_async.gateway.captcha import Captcha
from passwordless_async.gateway.proxy.upstream import Upstream

if TYPE_CHECKING:
    from passwordless_async.cli.gateway.kinds import Reader

ENVIRONMENT = "PASSWORDLESS_ASYNC_"
MEMORY = "memory"  # the store of one process
OFF, STANDARD_OUTPUT = "off", "-"  # in place of a log's file
_MAX_PORT, _MAX_WORKERS, _MAX_PROXIES, _MAX_COUNT = 65_535, 256, 32, 1_000_000
_UPSTREAM = [field.name for field in attrs.fields(Upstream) if field.init]


@attrs.frozen
class Setting:
    """A setting.

    Attributes:
        name: Its name in a file; with dashes a flag, in capitals with a prefix a variable of the environment.
        read: Reads its value.
        help: Its text in the help.
        default: Its value if none is given; None: there is none.
        metavar: The name of its value in the help.
        flag: The flag, if that has another name.
        is_multiple: Whether the flag may be given several times.
        is_switch: Whether the flag has no value, but an opposite flag with ``no``.
        may_have_secret: Whether its value may have a password in it, which is read only from the environment.
    """

    name: str
    read: Reader
    help: str
    default: Any = None
    metavar: str = "TEXT"
    flag: str | None = None
    is_multiple: bool = False
    is_switch: bool = False
    may_have_secret: bool = False

    @property
    def option(self) -> str:
        """The flag."""
        return f"--{(self.flag or self.name).replace('_', '-')}"

    @property
    def variable(self) -> str:
        """The variable of the environment."""
        return f"{ENVIRONMENT}{self.name.upper()}"


_TENANT = (
    Setting("domain", kinds.text, "The tenant, such as acme.eu.auth0.com.", metavar="DOMAIN"),
    Setting("client_id", kinds.text, "The application."),
    Setting(
        "client_auth",
        kinds.choice(*METHODS),
        f"How the application authenticates itself: {', '.join(METHODS)}. Default: the one for the given credential.",
        metavar="METHOD",
    ),
    Setting(
        "client_secret_from",
        kinds.source,
        f"Where the application's secret is: file:PATH or env:NAME. Or put it into ${ENVIRONMENT}CLIENT_SECRET.",
        metavar="SOURCE",
    ),
    Setting(
        "client_key_from",
        kinds.source,
        "Where the private key for private_key_jwt is, PEM or JWK: file:PATH or env:NAME.",
        metavar="SOURCE",
    ),
    Setting(
        "client_key_alg",
        kinds.choice(*get_args(AssertionAlgorithm)),
        "The algorithm that the key signs with.",
        metavar="ALGORITHM",
    ),
    Setting("client_key_id", kinds.text, "The key's ID, if several are registered.", metavar="KID"),
    Setting("client_certificate", kinds.path, "The certificate for tls_client_auth, PEM.", metavar="FILE"),
    Setting(
        "client_certificate_key", kinds.path, "The certificate's key, PEM, if it is in another file.", metavar="FILE"
    ),
    Setting("scope", kinds.text, "The scopes of logins.", "openid profile email offline_access", "SCOPES"),
    Setting("audience", kinds.text, "The API that the access tokens are for."),
    Setting("dpop", kinds.choice(*get_args(DPoPMode)), "Whether tokens are bound to a key.", "required", "MODE"),
)
_PAGES = (
    Setting("base_url", kinds.text, "The site's origin, as browsers see it: https://app.example.", metavar="URL"),
    Setting("identifiers", kinds.words, "What users log in with: email, phone.", ("email", "phone"), "NAMES"),
    Setting(
        "magic_link",
        kinds.switch,
        "Whether users may choose a link by e-mail. BASE_URL/link must be among the Allowed Callback URLs.",
        default=False,
        is_switch=True,
    ),
    Setting(
        "captcha",
        kinds.arguments(Captcha),
        "The widget of a captcha provider, shown when the tenant requires a captcha: "
        f"{', '.join(field.name for field in attrs.fields(Captcha))}; may be given several times.",
        metavar="NAME=TEXT",
        is_multiple=True,
    ),
    Setting("return_to", kinds.words, "The path prefixes that a login may return to.", ("/",), "PATHS"),
    Setting(
        "home", kinds.text, "Where a login ends without a path to return to. Default: its own page.", metavar="PATH"
    ),
    Setting("brand", kinds.text, "The name at the top of each page."),
    Setting(
        "templates",
        kinds.path,
        "A folder with templates that replace the built-in ones of the same name.",
        metavar="FOLDER",
    ),
    Setting("css", kinds.path, "A style sheet to add to the built-in one.", metavar="FILE"),
    Setting("session_for", kinds.seconds, "The maximum length of a session.", metavar="SECONDS"),
    Setting("remember_for", kinds.seconds, "The same for users who choose to stay logged in.", metavar="SECONDS"),
    Setting("max_sessions", kinds.whole(1, _MAX_COUNT), "The maximum number of sessions per user.", metavar="NUMBER"),
)
_ABUSE = (
    Setting(
        "trusted_proxies",
        kinds.whole(0, _MAX_PROXIES),
        "The number of your proxies in front of the gateway; the user's address is the one that the outermost saw.",
        0,
        "NUMBER",
    ),
    Setting("calling_codes", kinds.words, "The country codes of phones that may get codes: 49, 43.", metavar="CODES"),
    Setting(
        "budgets",
        kinds.limits(Budgets),
        "A limit per hour, such as starts_per_user=10; may be given several times.",
        metavar="NAME=NUMBER",
        flag="budget",
        is_multiple=True,
    ),
    Setting(
        "sms",
        kinds.limits(Sms),
        "A limit on messages to phones, such as per_hour=500; may be given several times.",
        metavar="NAME=NUMBER",
        is_multiple=True,
    ),
)
_STORE = (
    Setting(
        "store",
        kinds.text,
        "Where sessions are stored: memory, or a Redis URL as for `sessions`; with a password, in the environment.",
        MEMORY,
        "URL",
        may_have_secret=True,
    ),
    Setting("store_from", kinds.source, "Where the store's URL is: file:PATH or env:NAME.", metavar="SOURCE"),
    Setting("prefix", kinds.text, "The prefix of all keys in the store.", "pa"),
    Setting("keys", kinds.path, "The key ring that seals sessions; `sessions keys` makes one.", metavar="FILE"),
)
_SERVICES = (
    Setting(
        "upstreams",
        kinds.upstreams(_UPSTREAM),
        "A service behind the gateway, such as /api/=https://api.example; may be given several times.",
        (),
        "PREFIX=URL",
        flag="upstream",
        is_multiple=True,
    ),
)
_PROCESS = (
    Setting("host", kinds.text, "The address to listen on.", "127.0.0.1", "HOST"),
    Setting("port", kinds.whole(0, _MAX_PORT), "The port; 0 chooses a free one.", 8000, "PORT"),
    Setting(
        "workers",
        kinds.whole(1, _MAX_WORKERS),
        "The number of worker processes; more than one need a store in Redis.",
        1,
        "NUMBER",
    ),
    Setting("unix_socket", kinds.path, "A Unix socket to listen on instead of a port.", metavar="FILE"),
    Setting("shutdown_seconds", kinds.seconds, "How long calls in flight may take at shutdown.", 20.0, "SECONDS"),
    Setting(
        "access_log",
        kinds.text,
        "The file for the access log, one JSON line per call; - for standard output, or off.",
        STANDARD_OUTPUT,
        "FILE",
    ),
    Setting(
        "audit_log",
        kinds.text,
        "The file for the audit log, one JSON line per event; - for standard output, or off.",
        OFF,
        "FILE",
    ),
    Setting(
        "metrics_port",
        kinds.whole(0, _MAX_PORT),
        "A port on 127.0.0.1 that serves /metrics of all workers for Prometheus. Default: none.",
        metavar="PORT",
    ),
    Setting(
        "telemetry",
        kinds.choice("off", "opentelemetry"),
        "Where to report requests to the tenant: opentelemetry uses its global providers.",
        OFF,
        "NAME",
    ),
)

SETTINGS = {setting.name: setting for setting in (*_TENANT, *_PAGES, *_ABUSE, *_STORE, *_SERVICES, *_PROCESS)}
"""Every setting by its name, in the order of the help."""

SECRETS = {"client_secret": "client_secret_from", "client_key": "client_key_from"}
"""Secrets, which are read only from the environment and from files; each with the setting that names its location."""

REQUIRED = ("domain", "client_id", "base_url")
