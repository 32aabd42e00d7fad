"""Reading and writing of checkpoint folders, and reading of published weights."""
