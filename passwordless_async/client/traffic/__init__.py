"""Sends requests: first nonce, gate, pace, retries, circuit breakers, and the HTTP client below them."""
