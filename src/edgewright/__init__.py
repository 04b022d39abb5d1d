"""Edgewright makes a trained neural network fit an edge device, and proves that it still works."""
