"""Data: from files to waveforms, captions and token ids; independent of the models."""
