"""What the loop in train.py needs: batches, loss, optimiser, validation, checkpoints of a run."""
