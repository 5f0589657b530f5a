"""``gateway``: login pages, sessions and a proxy in front of services, as its own process."""
