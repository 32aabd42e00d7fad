"""The desktop app. Widgets know signals, workers know the captioner and the sound devices, the controller joins them."""
