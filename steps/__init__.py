"""The recipe: one script a stage or command, and the modules that they share, by subject."""
