"""Labelled sounds: collections, mixtures and captions of their labels."""
