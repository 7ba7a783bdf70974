"""The latent space: autoencoders, how they are trained, and how good their space is."""
