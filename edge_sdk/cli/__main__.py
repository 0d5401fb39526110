"""``python -m edge_sdk.cli``."""

from edge_sdk.cli import main

main()
