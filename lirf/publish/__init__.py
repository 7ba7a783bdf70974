"""A model for others: a folder that diffusers loads, and its card."""
