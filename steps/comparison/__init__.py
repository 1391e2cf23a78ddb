"""Experiments side by side: their scores, what differs in their configs, what changed from one to the other."""
