"""Ids, paths, secrets, locks, logs, deadlines and errors: what every other layer uses."""
