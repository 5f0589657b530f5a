"""Protecting an API: access tokens (RFC 9068), schemes, scopes, step-up and challenges, metadata (RFC 9728).

Only :mod:`fetching` performs I/O.
"""
