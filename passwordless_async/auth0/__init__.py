"""Auth0's wire without I/O: request builders beside their readers."""

from passwordless_async.auth0.application import Application
from passwordless_async.auth0.client_auth import (
    ClientAuth,
    ClientSecretBasic,
    ClientSecretPost,
    Credentials,
    ForwardedFor,
    NoClientAuth,
    PrivateKeyJwt,
    TlsClientAuth,
)
from passwordless_async.auth0.jwks import SigningKeys
from passwordless_async.auth0.requests import IpAddress
from passwordless_async.auth0.start import Send

__all__ = [
    "Application",
    "ClientAuth",
    "ClientSecretBasic",
    "ClientSecretPost",
    "Credentials",
    "ForwardedFor",
    "IpAddress",
    "NoClientAuth",
    "PrivateKeyJwt",
    "Send",
    "SigningKeys",
    "TlsClientAuth",
]
