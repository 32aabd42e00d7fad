"""Commands that measure; README.md says how to read them."""
