"""Studies beside the workflow: toy data in two dimensions, and the comparison of methods."""
