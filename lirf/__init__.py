"""Latent Iterative Refinement Flow: image generators from a hundred images that are not copies."""

from lirf import processor

processor.settle()  # here, because it must stand before the first `import torch`
