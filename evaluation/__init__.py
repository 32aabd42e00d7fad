"""Scores of captions with confidence intervals, and the report."""
