"""Decoding of sound files to blocks of mono samples."""
