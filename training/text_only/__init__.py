"""Training from captions alone: texts, their label sets and synthetic embeddings."""
