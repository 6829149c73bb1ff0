"""Which image runs this project's services and jobs: the one that was built from these sources."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

import test_infra

IMAGE_VARIABLE = "TEST_INFRA_IMAGE"
REPOSITORY = "test-infra"
PYTHON = "/usr/bin/python3"
"""The image's Python."""

ROOT = Path("/opt/test_infra")
"""Where the image keeps our code, the locked packages and the jars."""


def image_name() -> str:
    """``$TEST_INFRA_IMAGE``, else the image of these sources. Rebuild after editing the sources."""
    return os.environ.get(IMAGE_VARIABLE) or f"{REPOSITORY}:{source_digest()}"


@functools.cache
def source_digest() -> str:
    """A hash of the package ``test_infra`` as it is installed here; 12 hex digits."""
    root = Path(test_infra.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
