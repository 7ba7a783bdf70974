"""Latent Iterative Refinement Flow: image generators from a hundred images that are not copies."""
