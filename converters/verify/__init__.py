"""Verification: the proof that a model is integer, and how far it is from the float one."""
