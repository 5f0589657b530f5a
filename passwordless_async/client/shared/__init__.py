"""The state that a client shares with the other machines of its application, while the store is reachable."""
