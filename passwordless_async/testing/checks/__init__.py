"""Who is calling, and by which proof: judged independently of the client."""
