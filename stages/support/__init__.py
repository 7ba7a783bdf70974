"""What the stages share: their command, scratch and checks, and results read back."""
