"""Sound without a window: devices, microphone, recorder, player, decoded recordings."""
