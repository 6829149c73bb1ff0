"""Ids, paths, secrets, deadlines and errors: what every other layer stands on."""
