"""Examples that run from a clone: the demo, and the real model and video of the demo and the tests."""
