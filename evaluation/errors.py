"""Errors of scoring; each message is one sentence for the user."""


class MetricError(RuntimeError):
    """Scoring failed; the message says what was found, what was expected and what to do."""


class UnavailableError(MetricError):
    """A measure cannot be computed on this machine; the message gives the reason and the remedy."""
