"""The tenant's protocol without I/O: one module for each endpoint, with its request, its reader and its flow.

It imports nothing: threads that import two of its modules at once would deadlock on the locks of package and module.
"""
