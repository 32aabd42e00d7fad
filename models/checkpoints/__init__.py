"""Checkpoint folders, and published weights that are read as they are."""
