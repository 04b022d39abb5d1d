"""Measurements on real networks and data: `python -m benchmarks` writes the figures, and the data come from package registries."""
