"""``gateway``: login pages, sessions and a proxy in front of services, as a process of its own."""
