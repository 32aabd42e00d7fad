"""What joins widgets and workers."""
