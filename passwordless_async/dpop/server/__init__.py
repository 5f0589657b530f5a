"""The server's side of RFC 9449: reading and checking proofs, issuing nonces, remembering used proofs."""
