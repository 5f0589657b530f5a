"""Mutation tests: does a test fail if the code is changed? ``python -m tests.mutation FILE``.

A tool of our own, because neither mutmut (3.8) nor cosmic-ray (8.7) removes a statement or forces an ``if``: they
cannot ask whether a ``task.cancel()`` or a revocation is tested. Mutmut also leaves decorated functions and tables
alone, and cosmic-ray starts an interpreter for each mutant.
"""
