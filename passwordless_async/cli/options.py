"""How the application authenticates itself: the options that commands share, and what they come to.

No secret and no key stands on the command line: an option says where one is kept.
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
from passwordless_async.auth0 import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    NoClientAuth,
    PrivateKeyJwt,
    TlsClientAuth,
)
from passwordless_async.auth0.client_auth import AssertionAlgorithm
from passwordless_async.cli.terminal.failure import renamed
from passwordless_async.cli.terminal.questions import hidden, secret_from

if TYPE_CHECKING:
    from collections.abc import Callable

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_TYPED = ("env", "file", "prompt")
_KEPT = ("env", "file")  # a key has many lines: pasted at a prompt, those after the first would go to the shell
_NONE, _POST, _BASIC = "none", "client_secret_post", "client_secret_basic"
_JWT, _TLS = "private_key_jwt", "tls_client_auth"


@attrs.frozen
class Credentials:
    """What the options say.

    Attributes:
        client_auth: The method; None: the one that goes with the secret, or with none.
        client_secret_from: Where the secret is.
        client_key_from: Where the key that signs assertions is.
        client_key_alg: The algorithm to sign with.
        client_key_id: The ``kid`` of that key.
        client_certificate: The certificate's file.
        client_certificate_key: Its key's file.
    """

    client_auth: str | None
    client_secret_from: str | None
    client_key_from: str | None
    client_key_alg: AssertionAlgorithm | None
    client_key_id: str | None
    client_certificate: Path | None
    client_certificate_key: Path | None

    def read(self) -> ClientAuth:
        """Return how the application authenticates itself, with what is read from where it is kept.

        Raises:
            click.ClickException: The options do not go together, or something cannot be read.
            UsageError: What was read is not of its form.
        """
        method = self.client_auth or (_NONE if self.client_secret_from is None else _POST)
        way = _WAYS[method]
        for name, value in attrs.asdict(self).items():
            if value is not None and name not in ("client_auth", way.needs, *way.takes):
                users = " or ".join(other for other, one in _WAYS.items() if name in (one.needs, *one.takes))
                raise _wrong(name, f"goes with --client-auth {users}, not with {method}")
        if way.needs is not None and getattr(self, way.needs) is None:
            raise _wrong("client_auth", f"{method} needs {_option(way.needs)}")
        return way.make(self)


def client_auth_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options; it is called with ``credentials`` in their place."""

    @functools.wraps(command)
    def called(**given: Any) -> None:  # noqa: ANN401 - the command's other options
        credentials = Credentials(**{field.name: given.pop(field.name) for field in attrs.fields(Credentials)})
        command(**given, credentials=credentials)

    decorated: Callable[..., None] = called
    for option in reversed(_OPTIONS):  # the last to be put on is the first in the help
        decorated = option(decorated)
    return decorated


@attrs.frozen
class _Way:
    make: Callable[[Credentials], ClientAuth]
    needs: str | None = None
    takes: tuple[str, ...] = ()


def _secret(given: Credentials) -> Secret:
    return secret_from("client_secret_from", given.client_secret_from or "", kinds=_TYPED, what="client secret")


def _private_key_jwt(given: Credentials) -> PrivateKeyJwt:
    read = secret_from("client_key_from", given.client_key_from or "", kinds=_KEPT, what="client key")
    pem, key_id = _from_jwk(read) if read.lstrip().startswith("{") else (read, None)
    with renamed(key="--client-key-from", key_id="--client-key-id"):
        return PrivateKeyJwt(pem, algorithm=given.client_key_alg or "RS256", key_id=given.client_key_id or key_id)


def _from_jwk(text: Secret) -> tuple[Secret, Any]:
    """Return a JWK's key as PEM, and its ``kid``."""
    try:
        members = SecretDict(json.loads(text))
        return Secret(import_key(members).as_pem(private=True).decode()), members.get("kid")  # type: ignore[union-attr] # or AttributeError
    # JoseError says which member; what an unknown key type lacks is a method.
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        problem = "must hold a private key: PEM, or one JWK"
    raise _wrong("client_key_from", problem)


def _tls_client_auth(given: Credentials) -> TlsClientAuth:
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
    # Of a file without a key, one that is not PEM and a wrong password OpenSSL says the same.
    name = "client_certificate" if given.client_certificate_key is None else "client_certificate_key"
    if unfit:
        raise _wrong(name, "the key does not belong to the certificate")
    raise _wrong(
        name, "cannot be loaded: PEM is needed, the certificate and its key, and the key's password if it has one"
    )


def _password() -> SecretBytes:
    return SecretBytes(hidden("Password of the certificate's key").encode())


_WAYS = {
    _NONE: _Way(lambda _given: NoClientAuth()),
    _POST: _Way(lambda given: ClientSecretPost(_secret(given)), "client_secret_from"),
    _BASIC: _Way(lambda given: ClientSecretBasic(_secret(given)), "client_secret_from"),
    _JWT: _Way(_private_key_jwt, "client_key_from", ("client_key_alg", "client_key_id")),
    _TLS: _Way(_tls_client_auth, "client_certificate", ("client_certificate_key",)),
}

_OPTIONS = (
    click.option(
        "--client-auth",
        type=click.Choice(list(_WAYS)),
        help=f"How the application authenticates itself; {_POST} with a secret and none without one, unless given.",
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
        help="What that key signs with; RS256 unless given.",
    ),
    click.option("--client-key-id", metavar="KID", help="What that key is called, where several are registered."),
    click.option(
        "--client-certificate",
        type=_FILE,
        metavar="FILE",
        help=f"The certificate for {_TLS}, PEM. SSL_CERT_FILE names the tenant's CA where that is a private one.",
    ),
    click.option("--client-certificate-key", type=_FILE, metavar="FILE", help="Its key, PEM, if it is not in there."),
)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _wrong(name: str, problem: str) -> click.BadParameter:
    return click.BadParameter(problem, click.get_current_context(silent=True), param_hint=_option(name))
