"""The rings of the watchdog; each works when the inner one has failed."""
