"""Training of the velocity field: state, batches, steps, checkpoints, devices."""
