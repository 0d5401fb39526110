"""Fuzz targets: hostile files against the readers. Not collected by pytest; see CONTRIBUTING."""
