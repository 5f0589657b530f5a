"""``sessions``: commands for operators: list and end sessions, and rotate keys."""
