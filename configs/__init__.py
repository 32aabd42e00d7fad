"""Configuration: `schema.py` is the single truth, each YAML beside it holds only what one experiment changes."""
