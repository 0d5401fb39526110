"""Repair: what makes an int8 model follow its float model again, each step measured and kept only where it helps."""
