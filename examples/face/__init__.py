"""A face detector from a float model to a watched loop over a video."""
