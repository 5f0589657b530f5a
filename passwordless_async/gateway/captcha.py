"""A captcha provider's widget on the first login page, if the tenant demands one."""

from __future__ import annotations

import re
from typing import Any

import attrs
from yarl import URL

from passwordless_async._common import arguments as _check
from passwordless_async._common.origin import parse_origin
from passwordless_async._common.secret import always_printable
from passwordless_async._common.validators import checked_by
from passwordless_async.errors import UsageError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_MAX_URL = 512  # characters


def _script(given: str) -> str:
    text = _check.printable("script", given, at_most=_MAX_URL)
    url = URL(text)
    if url.scheme != "https" or not url.host or url.user is not None:
        raise UsageError("script", "must be an https URL")
    return str(url)


def _origins(given: object) -> tuple[str, ...]:
    origins = [parse_origin("sources", text) for text in _check.texts("sources", given)]
    if any(origin.scheme != "https" for origin in origins):
        raise UsageError("sources", "must be https origins")
    return tuple(map(str, origins))


def _check_name(argument: str, value: object) -> None:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise UsageError(argument, "must be a name of letters, digits, hyphens and underscores")


_name = checked_by(_check_name)
_text = checked_by(lambda argument, value: _check.printable(argument, value, at_most=_MAX_URL))


@always_printable
@attrs.frozen(kw_only=True)
class Captcha:
    """The widget of a captcha provider, shown when the tenant's bot detection requires it; the tenant gets its token.

    Auth0 does not document whether a tenant accepts that token. It documents bot detection only for login pages that it
    hosts; its own script sends the solution as ``captcha`` of ``/passwordless/start``, as this does, but gets the
    challenge within a transaction of such a page. Try it with your tenant and the provider that is configured there. Or
    set *Enforce CAPTCHA for passwordless flows* to *Never*, and rely on :class:`Budgets`.

    Args:
        script: The URL of the provider's script.
        site_key: The provider's public key of the site.
        css_class: The class of the element that the script turns into the widget: ``cf-turnstile``, ``h-captcha``.
        field: The form field that the widget puts its token in: ``cf-turnstile-response``, ``h-captcha-response``.
        sources: Further origins of the provider, besides that of the script, that the page may load scripts, frames,
            styles and images from and connect to. Only the content security policy of this page allows them.
    """

    script: str = attrs.field(converter=_script)
    site_key: str = attrs.field(validator=_text)
    css_class: str = attrs.field(validator=_name)
    field: str = attrs.field(validator=_name)
    sources: tuple[str, ...] = attrs.field(default=(), converter=_origins)

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that the page with the widget may use."""
        return tuple(dict.fromkeys((str(URL(self.script).origin()), *self.sources)))

    @property
    def facts(self) -> dict[str, Any]:
        """The data that a page, or a script that renders the widget itself, needs."""
        return {"script": self.script, "site_key": self.site_key, "css_class": self.css_class, "field": self.field}
