"""Checks of proofs and client authentication, independent of the client under test."""
