"""``doctor``: a look at a tenant from outside."""
