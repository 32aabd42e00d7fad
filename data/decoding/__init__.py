"""A sound file of any origin to blocks of mono samples."""
