"""What an application calls: the client, and what its calls are made of."""
