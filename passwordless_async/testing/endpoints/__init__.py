"""The tenant's endpoints, one module each."""
