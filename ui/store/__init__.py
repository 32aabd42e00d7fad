"""What the app keeps: settings, history, the queue of files, exports."""
