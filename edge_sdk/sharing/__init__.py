"""Engines that several callers share: requests as futures, within bounds, each with exactly one end."""
