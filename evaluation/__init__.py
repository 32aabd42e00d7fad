"""Scores of captions, their uncertainty, and the report on them."""
