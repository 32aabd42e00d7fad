"""Desktop app: widgets emit signals, workers run the captioner and the sound devices, controllers connect both."""
