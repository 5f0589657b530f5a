"""Renders replies: HTML by Jinja2, with one style sheet and no inline code."""
