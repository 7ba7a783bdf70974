"""A round of densification: correct, admit, restore, merge."""
