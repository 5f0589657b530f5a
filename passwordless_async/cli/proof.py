"""``keygen`` makes a key file; ``proof`` signs a DPoP proof with it, for curl."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from passwordless_async._common.secret import Secret, SecretBytes
from passwordless_async.cli.terminal import show
from passwordless_async.cli.terminal.failure import one_line
from passwordless_async.dpop import DPoPKey, ProofGenerator

_MAX_FILE_BYTES = 65_536  # no key and no token is larger
_ENVIRONMENT_VARIABLE = "PASSWORDLESS_ASYNC_KEY_PASSWORD"
_OWNER_ONLY = 0o600
_ENCRYPTED = re.compile(rb"ENCRYPTED")


_KEYGEN_EXAMPLES = """\
\b
Examples:
  passwordless-async keygen --out key.pem
  passwordless-async keygen --out key.pem --encrypt
"""
_PROOF_EXAMPLES = """\
\b
Examples:
  passwordless-async proof --key key.pem --method GET \\
    --url https://api.example/messages --access-token-file access-token
\b
With curl:
  curl https://api.example/messages \\
    -H "Authorization: DPoP $(cat access-token)" \\
    -H "DPoP: $(passwordless-async proof --key key.pem --method GET \\
    --url https://api.example/messages --access-token-file access-token)"
"""


@click.command(epilog=_KEYGEN_EXAMPLES)
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="The file to make; it must not exist.")
@click.option(
    "--encrypt",
    is_flag=True,
    help=f"Encrypt it with the password in ${_ENVIRONMENT_VARIABLE}; asks for one if the variable is not set.",
)
def keygen(*, out: str, encrypt: bool) -> None:
    """Make a P-256 key file that only its owner can read."""
    with one_line():
        key = DPoPKey.generate()
        pem = key.to_pem(_password(confirm=True) if encrypt else None)
    try:
        # Created with its mode: between a later chmod and the creation others could open the file.
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
    except OSError as error:
        raise click.ClickException(f"The key cannot be written to {show.plain(out)}: {error.strerror}.") from None
    click.echo(key.thumbprint)


@click.command(epilog=_PROOF_EXAMPLES, short_help="Make a proof for one request, for curl.")
@click.option("--key", "key_file", required=True, type=click.Path(), metavar="FILE", help="The private key, PEM.")
@click.option("--method", required=True, help="The method of the request, as it will be sent.")
@click.option("--url", required=True, help="The URL of the request.")
@click.option(
    "--access-token-file",
    type=click.Path(),
    metavar="FILE",
    help="A file with the access token that is sent with the proof.",
)
@click.option("--nonce", help="The server's nonce.")
def proof(*, key_file: str, method: str, url: str, access_token_file: str | None, nonce: str | None) -> None:
    """Make a proof for one request: curl -H "DPoP: $(passwordless-async proof ...)"."""
    with one_line():
        proofs = ProofGenerator(read_key(key_file))
        token = (
            None if access_token_file is None else Secret(_read(access_token_file).decode("ascii", "replace").strip())
        )
        signed = proofs.proof(method, url, nonce=nonce, access_token=token)
    click.echo(signed)


def read_key(path: str) -> DPoPKey:
    """Read a private key file; asks for the password if the file is encrypted and the environment has none."""
    pem = _read(path)
    return DPoPKey.from_pem(pem, _password() if _ENCRYPTED.search(pem) else None)


def _read(path: str) -> SecretBytes:
    try:
        with Path(path).open("rb") as file:
            content = SecretBytes(file.read(_MAX_FILE_BYTES + 1))
    except OSError as error:
        raise click.ClickException(f"{show.plain(path)} cannot be read: {error.strerror}.") from None
    if len(content) > _MAX_FILE_BYTES:
        raise click.ClickException(f"{show.plain(path)} is over {_MAX_FILE_BYTES:,} bytes: it is the wrong file.")
    return content


def _password(*, confirm: bool = False) -> SecretBytes:
    given = os.environ.get(_ENVIRONMENT_VARIABLE)
    if given is None:
        given = click.prompt("Password of the key", hide_input=True, confirmation_prompt=confirm, err=True)
    return SecretBytes(given.encode())
