"""Passwordless logins for async Python, with tokens bound to a key (DPoP, RFC 9449)."""
