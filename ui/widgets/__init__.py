"""The window's parts; they know signals and plain data, neither the captioner nor the sound devices."""
