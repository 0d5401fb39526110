"""Google's Edge TPU (Coral): what a compiled model holds, what was planned for it, and the devices that run it."""
