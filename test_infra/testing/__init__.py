"""What users import in their own tests: a pytest plugin, and a running pipeline as a test uses it."""
