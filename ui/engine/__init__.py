"""Captioner of the app: runs in a separate process and captions files and microphone input."""
