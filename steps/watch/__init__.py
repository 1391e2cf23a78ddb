"""Looking at a training while it runs: MindInsight, in an environment of its own."""
