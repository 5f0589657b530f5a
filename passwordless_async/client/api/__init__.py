"""API calls with bound tokens: a middleware for any aiohttp session, and sessions that refresh their tokens."""
