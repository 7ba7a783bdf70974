"""What the stages share: their command, scratch and progress, and results read back."""
