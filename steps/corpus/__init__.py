"""Kaldi data directories: read, validate, fix, combine, subset."""
