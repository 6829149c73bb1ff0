"""The report as one HTML page: what is shown is decided in Python, how it looks in the templates."""
