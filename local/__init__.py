"""One module a corpus: where it comes from and how its data directories are written."""
