"""The driver's process: its command, properties, session and status; our own applications."""
