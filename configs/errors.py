"""Errors of models and checkpoints that a user can fix."""


class CheckpointError(ValueError):
    """A checkpoint or weights file is missing, damaged or of the wrong kind; the message is one sentence."""
