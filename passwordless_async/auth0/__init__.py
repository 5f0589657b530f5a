"""Auth0's wire without I/O: request builders beside their readers."""

from passwordless_async.auth0.application import Application
from passwordless_async.auth0.client_auth import ClientAuth, ClientSecretPost, NoClientAuth
from passwordless_async.auth0.jwks import SigningKeys
from passwordless_async.auth0.start import IpAddress, Send

__all__ = ["Application", "ClientAuth", "ClientSecretPost", "IpAddress", "NoClientAuth", "Send", "SigningKeys"]
