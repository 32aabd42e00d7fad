"""Writers of caption formats; `registry.py` maps names to formats."""
