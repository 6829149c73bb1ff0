"""Finds Java and brings the jars: coordinates in one lock file, verified before every use."""
