"""Encoders, projection, decoder, and the captioner made of them; knows nothing of data sets."""
