"""The protocol of the second factor, and the state of a login between its two factors."""
