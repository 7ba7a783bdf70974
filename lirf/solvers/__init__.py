"""Integration of a velocity field over time."""
