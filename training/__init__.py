"""Training: batches, loss, optimiser, validation and checkpoints of a run."""
