"""Forwards calls of browsers to the team's services, with both bodies as streams."""
