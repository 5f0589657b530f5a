"""``doctor``: checks a tenant from outside."""
