"""Images: reading a folder of them, augmenting them, those that are bundled."""
