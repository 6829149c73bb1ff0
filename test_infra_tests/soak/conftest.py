"""The same surroundings as for integration tests."""

from test_infra_tests.integration.conftest import _in_test_home, test_home

__all__ = ["_in_test_home", "test_home"]
