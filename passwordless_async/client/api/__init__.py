"""Calls of APIs with bound tokens: the middleware for any aiohttp session, and sessions that renew themselves."""
