"""From tag scores and prefix to ranked captions."""
