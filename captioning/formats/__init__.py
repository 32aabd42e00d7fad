"""Writers of captions, one file per family of formats; `registry.py` has them by name."""
