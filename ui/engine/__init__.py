"""The captioner as the app uses it: in a process of its own, for files and for a microphone."""
