"""Captions with ONNX Runtime: exported captioners (`export.py`), without torch and transformers."""
