"""Commands that measure captioners: `python -m benchmarks` lists them."""
