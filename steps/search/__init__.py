"""From log-probabilities to syllables and their times."""
