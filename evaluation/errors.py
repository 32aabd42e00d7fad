"""What goes wrong while captions are scored; each message is one sentence for the user."""


class MetricError(RuntimeError):
    """Scoring cannot go on; the message says what was found, what was expected and what to do."""


class UnavailableError(MetricError):
    """One measure cannot be computed here, the others can; the message gives the reason and the remedy."""
