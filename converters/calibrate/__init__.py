"""Calibration: the samples, and the ranges that the float model's tensors take on them."""
