"""The workstation: a trained model becomes a proven bundle."""
