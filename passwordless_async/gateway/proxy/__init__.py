"""Calls of browsers to the team's services: which one, what goes along, and both bodies as streams."""
