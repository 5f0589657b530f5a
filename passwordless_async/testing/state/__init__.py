"""The tenant's state."""
