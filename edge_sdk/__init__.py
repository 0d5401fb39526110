"""Neural networks on small computers, on time. See the README for the three lines that matter."""

__version__ = "0.1.0"
