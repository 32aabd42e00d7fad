"""Captions with ONNX Runtime: exported captioners (`export.py`), without torch and transformers."""

import os

# When it is imported, ONNX Runtime 1.32 otherwise writes a device id to ~/.cache, and it sends usage data to Microsoft.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
