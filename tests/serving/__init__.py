"""Real servers on loopback, each in an environment of its own, for tests of exports and of clients."""
