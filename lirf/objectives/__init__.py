"""What a network is trained for, and what its output then means as a velocity."""
