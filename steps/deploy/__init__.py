"""The trained model at work, without MindSpore."""
