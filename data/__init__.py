"""From files to waveforms, captions and token ids; knows nothing of models."""
