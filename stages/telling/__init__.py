"""What people are told of a run: where it is, how long it takes. No result depends on it."""
