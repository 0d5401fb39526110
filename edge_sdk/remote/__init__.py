"""Servers: what runs a variant elsewhere, over the network. Its clients, what may go wrong with them, and when they are worth asking."""
