"""What users import in their own tests: a pytest plugin, and a running pipeline as a test uses it."""

from test_infra.testing.stack import running_stack

__all__ = ["running_stack"]
