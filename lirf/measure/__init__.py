"""What is measured of samples: against images, against each other, and in a sentence."""
