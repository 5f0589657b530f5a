"""``sessions``: what operators do about sessions in a store."""
