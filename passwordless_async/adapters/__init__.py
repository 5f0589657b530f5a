"""Adapters to other libraries: one module for each web framework or telemetry library.

This package imports none of them, so that an ASGI application does not need aiohttp, and vice versa.
"""
