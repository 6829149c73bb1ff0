"""Spark jobs: what is submitted, which states a submission goes through, its record, and the gateway."""
