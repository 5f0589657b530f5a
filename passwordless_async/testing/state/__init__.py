"""What the tenant remembers."""
