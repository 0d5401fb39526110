"""Machine vibration: an autoencoder that knows a machine's normal vibration, and tells when it changes."""
