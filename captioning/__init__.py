"""From files to captions: what every command that captions recordings shares."""
