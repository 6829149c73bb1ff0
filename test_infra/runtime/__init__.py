"""Starts, observes, stops and logs ONE process. One file per backend: `local` and `docker`."""
