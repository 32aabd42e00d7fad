"""AudioSet's classes and the words of captions that name them."""
