"""A wake word on a microphone: a real streaming model, made into a bundle and run under a deadline."""
