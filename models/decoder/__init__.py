"""The Llama decoder: prefix tokens, key-value cache and beam search."""
