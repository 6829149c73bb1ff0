"""Dagster assets and Dagster jobs made from specs."""
