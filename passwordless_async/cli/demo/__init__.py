"""``demo``: a crowd logs in, and the result is proven."""
