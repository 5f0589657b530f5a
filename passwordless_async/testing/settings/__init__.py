"""What a tenant can be told."""
