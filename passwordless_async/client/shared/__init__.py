"""What a client shares with the other machines of its application, as far as the store can be reached."""
