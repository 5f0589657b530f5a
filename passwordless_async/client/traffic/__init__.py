"""How a request gets on the wire: turns, pace, tries, circuit, and the HTTP client under them."""
