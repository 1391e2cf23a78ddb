"""Channels-last kernels over the oneDNN that MindSpore ships, for its CPU: built by `build`, wrapped by `cells`."""
