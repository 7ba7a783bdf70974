"""Frozen feature extractors, in which images are compared."""
