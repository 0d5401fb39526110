"""The Edge TPU: what maps and why, what it costs, what to change, and Google's compiler where it is there."""
