"""The texts of the pages, a catalog for each language."""
