"""Simulations of whole clients, on a virtual clock and a network in memory: ``python -m tests.simulation``."""
