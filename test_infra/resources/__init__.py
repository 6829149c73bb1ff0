"""Dagster resources: handles that attach to what runs, and never start or stop anything."""
