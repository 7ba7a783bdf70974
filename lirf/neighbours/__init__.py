"""Exact nearest neighbours, for the loop and for what is measured."""
