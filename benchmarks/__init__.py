"""Speed and memory of edge_sdk beside what one would use instead, in one run: ``python -m benchmarks``, ``python -m benchmarks.soak``."""
