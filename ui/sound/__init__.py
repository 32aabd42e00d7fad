"""Audio without user interface: devices, microphone, recorder, player and decoded recordings."""
