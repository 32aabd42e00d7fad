"""Errors of models and checkpoints that a user can fix."""


class CheckpointError(ValueError):
    """A checkpoint or weights file is missing, damaged or of the wrong kind; the message is one sentence."""


NOT_FINITE = "the encoder's embeddings are not finite, because its weights are damaged: copy the checkpoint again."
