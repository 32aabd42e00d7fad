"""Analysis of the structure of sound files, before decoding."""
