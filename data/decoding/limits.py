"""Accepted ranges of sample rate, channels, duration and amplitude; other files are assumed damaged or malicious."""

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
MAX_DECODED_S = 24 * 3600.0
HIGHEST_SAMPLE = 1e4  # relative to full scale (+80 dB); beyond the range of converters and mixers
