"""Scores, tables, plots and HTML."""
