"""The project's own Java, which SPICE needs on Java 15 and later, and the command that builds it."""
