"""Encoders, projection, decoder, and the captioner that combines them; independent of data sets."""
