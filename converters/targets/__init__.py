"""Targets: what a board can run, and its variant. One package a target."""
