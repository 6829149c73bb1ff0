"""Test suites: planned, run in a process of their own, and read back without losing a test."""
