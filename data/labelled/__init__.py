"""Collections of labelled sounds, mixtures of their clips, and template captions of their labels."""
