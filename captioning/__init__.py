"""From files to captions: the parts shared by all commands that caption recordings."""
