"""How replies look: HTML by Jinja2, with one style sheet and no inline code."""
