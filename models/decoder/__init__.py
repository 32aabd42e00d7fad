"""The Llama decoder: what it sees of a clip, its key-value cache and its beam search."""
