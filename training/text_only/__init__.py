"""Text-only training: captions, their label sets and simulated embeddings."""
