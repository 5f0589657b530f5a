"""``demo``: many users log in, and the result is verified."""
