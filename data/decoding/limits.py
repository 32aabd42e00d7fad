"""Limits of recordings; a file beyond them is damaged or malicious."""

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1_000, 768_000
MAX_CHANNELS = 64
MAX_DECODED_S = 24 * 3600.0
HIGHEST_SAMPLE = 1e4  # 80 dB above full scale: no converter and no mixer gets there
