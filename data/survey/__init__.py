"""What the structure of a sound file says, read before anything is decoded."""
