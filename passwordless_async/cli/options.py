"""How the application authenticates itself: options that several commands share.

No secret and no key is on the command line: an option names its location.
"""

from __future__ import annotations

import functools
import json
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import attrs
import click
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from passwordless_async._common.secret import Secret, SecretBytes, SecretDict
from passwordless_async.auth0.client_auth import (
    AssertionAlgorithm,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    NoClientAuth,
    PrivateKeyJwt,
    TlsClientAuth,
)
from passwordless_async.auth0.tenant import DPoPMode
from passwordless_async.cli.terminal.failure import renamed
from passwordless_async.cli.terminal.questions import hidden, secret_from

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SECRET_SOURCES = ("env", "file", "prompt")
_KEY_SOURCES = ("env", "file")  # no prompt: of a pasted key, the lines after the first would go to the shell
_NONE, _POST, _BASIC = "none", "client_secret_post", "client_secret_basic"
_JWT, _TLS = "private_key_jwt", "tls_client_auth"


@attrs.frozen
class ClientAuthOptions:
    """The options that say how the application authenticates itself."""

    client_auth: str | None  # the method; None: that of the given credential
    client_secret_from: str | None
    client_key_from: str | None  # where the key that signs assertions is kept
    client_key_alg: AssertionAlgorithm | None
    client_key_id: str | None  # the kid of that key
    client_certificate: Path | None
    client_certificate_key: Path | None

    def read(self) -> ClientAuth:
        """Read the secret, key or certificate, and return the authentication; options that clash are refused."""
        name = self.client_auth or self._method_of_credential()
        method = _METHODS[name]
        self._refuse_others(name, method)
        if method.needs is not None and not self._has(method.needs):
            raise _wrong("client_auth", f"{name} needs {_option(method.needs)}")
        return method.make(self)

    def _method_of_credential(self) -> str:
        """Return the first method that needs a credential which is given; without any, ``none``."""
        return next((name for name, method in _METHODS.items() if self._has(method.needs)), _NONE)

    def _has(self, option: str | None) -> bool:
        return option is not None and getattr(self, option) is not None

    def _refuse_others(self, name: str, method: _Method) -> None:
        given = [option for option, value in attrs.asdict(self).items() if value is not None]
        for option in given:
            if option not in {"client_auth", *method.options}:
                users = " or ".join(other for other, its in _METHODS.items() if option in its.options)
                raise _wrong(option, f"needs --client-auth {users}, not {name}")


def client_auth_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which receives them as ``credentials``."""

    @functools.wraps(command)
    def called(**given: Any) -> None:  # noqa: ANN401 - the values of any options
        credentials = ClientAuthOptions(
            **{field.name: given.pop(field.name) for field in attrs.fields(ClientAuthOptions)}
        )
        command(**given, credentials=credentials)

    return with_options(called, _OPTIONS)


def application_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name the tenant and the application."""
    return with_options(
        command,
        (
            click.option(
                "--domain", required=True, help="The tenant, such as acme.eu.auth0.com or http://127.0.0.1:8080."
            ),
            click.option("--client-id", required=True, help="The application."),
        ),
    )


def dpop_option(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option that says whether tokens have to be bound to a key."""
    return click.option(
        "--dpop",
        type=click.Choice(list(get_args(DPoPMode))),
        default="required",
        show_default=True,
        help="Whether tokens are bound to a key: always, if the API's policy allows it, or never.",
    )(command)


def with_options(command: Callable[..., None], options: Sequence[Callable[..., Any]]) -> Callable[..., None]:
    """Add options and arguments to a command, in the order of its help."""
    for option in reversed(options):  # the last to be added is the first in the help
        command = option(command)
    return command


@attrs.frozen
class _Method:
    """A method of authentication: how it is made, the option it needs, and the options it takes."""

    make: Callable[[ClientAuthOptions], ClientAuth]
    needs: str | None = None
    takes: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str | None, ...]:
        return self.needs, *self.takes


def _secret(given: ClientAuthOptions) -> Secret:
    return secret_from(
        "client_secret_from", given.client_secret_from or "", kinds=_SECRET_SOURCES, what="client secret"
    )


def _private_key_jwt(given: ClientAuthOptions) -> PrivateKeyJwt:
    read = secret_from("client_key_from", given.client_key_from or "", kinds=_KEY_SOURCES, what="client key")
    pem, key_id = _from_jwk(read) if read.lstrip().startswith("{") else (read, None)
    with renamed(key="--client-key-from", key_id="--client-key-id"):
        return PrivateKeyJwt(pem, algorithm=given.client_key_alg or "RS256", key_id=given.client_key_id or key_id)


def _from_jwk(text: Secret) -> tuple[Secret, Any]:
    """Return a JWK's key as PEM, and its ``kid``."""
    try:
        members = SecretDict(json.loads(text))
        return Secret(import_key(members).as_pem(private=True).decode()), members.get("kid")  # type: ignore[union-attr] # or AttributeError
    # AttributeError: an unknown key type has no as_pem.
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        problem = "must hold a private key: PEM, or one JWK"
    raise _wrong("client_key_from", problem)


def _tls_client_auth(given: ClientAuthOptions) -> TlsClientAuth:
    context = ssl.create_default_context()
    try:
        context.load_cert_chain(given.client_certificate or "", given.client_certificate_key, password=_password)
        return TlsClientAuth(context)
    except ssl.SSLError as error:
        unfit = error.reason == "KEY_VALUES_MISMATCH"
    except ValueError:  # a password of over a kilobyte
        unfit = False
    except OSError as error:
        raise click.ClickException(f"The client certificate cannot be read: {error.strerror}.") from None
    # OpenSSL reports a file without a key, one that is not PEM and a wrong password alike.
    name = "client_certificate" if given.client_certificate_key is None else "client_certificate_key"
    if unfit:
        raise _wrong(name, "the key does not belong to the certificate")
    raise _wrong(
        name, "cannot be loaded: it must be PEM, with the certificate and its key, and the key's password if it has one"
    )


def _password() -> SecretBytes:
    return SecretBytes(hidden("Password of the certificate's key").encode())


_METHODS = {
    _NONE: _Method(lambda _given: NoClientAuth()),
    _POST: _Method(lambda given: ClientSecretPost(_secret(given)), "client_secret_from"),
    _BASIC: _Method(lambda given: ClientSecretBasic(_secret(given)), "client_secret_from"),
    _JWT: _Method(_private_key_jwt, "client_key_from", ("client_key_alg", "client_key_id")),
    _TLS: _Method(_tls_client_auth, "client_certificate", ("client_certificate_key",)),
}

METHODS = tuple(_METHODS)
"""The names of the methods, in the order of the help."""

_OPTIONS = (
    click.option(
        "--client-auth",
        type=click.Choice(METHODS),
        metavar="METHOD",  # the choices together are wider than a terminal
        help=f"How the application authenticates itself: {', '.join(METHODS)}. Default: the one for the given"
        " credential.",
    ),
    click.option(
        "--client-secret-from",
        metavar="SOURCE",
        help="Where a confidential application's secret is: env:NAME, file:PATH or prompt.",
    ),
    click.option(
        "--client-key-from",
        metavar="SOURCE",
        help=f"Where the private key for {_JWT} is, PEM or JWK: env:NAME or file:PATH.",
    ),
    click.option(
        "--client-key-alg",
        type=click.Choice(list(get_args(AssertionAlgorithm))),
        help="The algorithm that the key signs with. Default: RS256.",
    ),
    click.option("--client-key-id", metavar="KID", help="The key's ID, if several are registered."),
    click.option(
        "--client-certificate",
        type=_FILE,
        metavar="FILE",
        help=f"The certificate for {_TLS}, PEM. SSL_CERT_FILE names the tenant's CA if that is private.",
    ),
    click.option(
        "--client-certificate-key",
        type=_FILE,
        metavar="FILE",
        help="The certificate's key, PEM, if it is in another file.",
    ),
)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _wrong(name: str, problem: str) -> click.BadParameter:
    return click.BadParameter(problem, click.get_current_context(silent=True), param_hint=_option(name))
