"""A tenant in a process of its own."""
