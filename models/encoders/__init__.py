"""Audio encoders: a waveform becomes embeddings and tag scores."""
