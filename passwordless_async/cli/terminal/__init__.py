"""Prompts, tables, progress, errors and Ctrl-C on a terminal."""
