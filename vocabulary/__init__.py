"""What sounds are called: AudioSet's classes, and the words of captions that stand for them."""
