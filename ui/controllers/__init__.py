"""Controllers: connect widgets and workers."""
