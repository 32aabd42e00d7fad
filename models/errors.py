"""Errors of models and checkpoints that a person can mend."""


class CheckpointError(ValueError):
    """A checkpoint or weights file that is missing, damaged or of the wrong kind; the message is one sentence."""
