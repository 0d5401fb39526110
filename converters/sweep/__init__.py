"""The sweep: recipes x range methods x sizes x boards, and the front of accuracy, latency and size among them."""
