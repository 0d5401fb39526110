"""The choice of variant, engine and options by measurement on the device itself; see docs/tune.md."""
