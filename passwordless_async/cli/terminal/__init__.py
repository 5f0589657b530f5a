"""What is asked and shown on a terminal."""
