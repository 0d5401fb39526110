"""Hybrid inference: a server helps where it pays, and never makes late what the device could have made in time."""
