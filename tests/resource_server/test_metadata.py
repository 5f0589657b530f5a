"""The module is tested through the server so far."""
