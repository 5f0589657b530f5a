"""Histories of concurrent calls to a store, checked against sequential models: ``python -m tests.linearizability``."""
