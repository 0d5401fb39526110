"""Exports: a variant of a bundle in the form that a server takes, proven against the variant before anything is written."""
