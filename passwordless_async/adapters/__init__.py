"""The verifier inside web frameworks: one module for each kind of server.

Neither is imported here, so that an ASGI application does not need aiohttp's server and the other way round.
"""
