"""Proves that a change-data-capture pipeline loses nothing."""

__version__ = "0.1.0"
