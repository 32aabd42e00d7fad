"""Audio encoders, which compute embeddings and tag scores from waveforms."""
