"""A doorbell camera: faces with ids, and who comes, waits and leaves."""
