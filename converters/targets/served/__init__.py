"""Files that travel with an export and run on the server: they need NumPy and one runtime, nothing of this project."""
