"""Where a variant's time goes, operator by operator, and what the machine would allow."""
