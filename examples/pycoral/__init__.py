"""Programs against pycoral's programming interface: with ``pycoral`` for ``edge_sdk.pycoral`` in their imports they run on that too."""
