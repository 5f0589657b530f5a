"""The second factor on the wire, and the login between its two factors."""
