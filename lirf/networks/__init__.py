"""The networks that learn a velocity field."""
