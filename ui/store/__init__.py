"""Data of the app: settings, history, file queue and exports."""
