"""From audio files to feature archives."""
