"""Makes, while an image is built, what each container would make: ``python -m test_infra.stack.prepared``."""

from __future__ import annotations

from test_infra.stack.services.kafka import formatted_storage


def main() -> None:
    """Format Kafka's storage, in the cache."""
    formatted_storage()


if __name__ == "__main__":
    main()
