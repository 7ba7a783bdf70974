"""Samples: seeds, noise and integration of a velocity field."""
