"""Arm's Ethos-U: the int8 model, compiled by vela for the NPU of a board."""
