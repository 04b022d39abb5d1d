"""The tests mirror src/edgewright; import their shared pieces as `tests.<file>`."""
