"""Commands for maintainers: checkpoints to release, sounds of Debian packages."""
