"""`inference.py --engine ray`: caption on a cluster with Ray Data."""
