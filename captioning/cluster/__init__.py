"""`inference.py --engine ray`: the same captioner on many machines, by Ray Data."""
