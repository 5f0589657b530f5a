"""The steps of a login, each a function from a visit to a reply."""
