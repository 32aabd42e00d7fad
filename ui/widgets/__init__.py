"""Widgets: display plain data and emit signals, independently of the captioner and the sound devices."""
