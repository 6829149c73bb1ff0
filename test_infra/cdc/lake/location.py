"""Where a table lies: a URI, and where to find what its store asks of a reader."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import BeforeValidator, Field, model_validator

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError


class StorageOption(Document):
    """One option of a store, such as a key or an endpoint, by reference: its value is in no document of ours.

    Args:
        env: environment variable that holds the value.
        file: file that holds the value, such as a mounted secret; a line end at its end does not count.
    """

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> StorageOption:
        if (self.env is None) == (self.file is None):
            raise ValueError("give either env, the name of a variable, or file, the path of a secret file")
        return self

    def value(self) -> str:
        """The value, read now.

        Raises:
            InfrastructureError: the variable or the file is missing.
        """
        if self.env is not None:
            if self.env not in os.environ:
                raise InfrastructureError(f"the environment variable {self.env} is not set")
            return os.environ[self.env]
        assert self.file is not None
        try:
            return self.file.read_text().rstrip("\n")
        except OSError as error:
            raise InfrastructureError(f"the secret file {self.file} cannot be read: {error.strerror}") from error


class Location(Document):
    """Where a table lies.

    Args:
        uri: a folder's path, ``file:///...``, or the URI of an object store such as ``s3://bucket/table``.
        storage: options of the store, by the names that delta-rs gives them -> where their values are.
    """

    uri: str
    storage: dict[str, StorageOption] = Field(default_factory=dict)

    @classmethod
    def of(cls, where: Location | Path | str) -> Location:
        """The location of a folder or URI that needs no options; a location is returned as it is."""
        return where if isinstance(where, Location) else cls(uri=str(where))

    @property
    def folder(self) -> Path | None:
        """The folder on this machine's disk; None for an object store."""
        if self.uri.startswith("file://"):
            return Path(unquote(urlsplit(self.uri).path))
        return None if "://" in self.uri else Path(self.uri)

    @property
    def name(self) -> str:
        """Last part of the URI."""
        return self.uri.rstrip("/").rpartition("/")[2]

    def storage_options(self) -> dict[str, str]:
        """Options of the store with their values, read now.

        Raises:
            InfrastructureError: a variable or file is missing.
        """
        return {name: option.value() for name, option in self.storage.items()}

    def __str__(self) -> str:
        return str(self.folder or self.uri)


def _location_of(given: Any) -> Any:
    return Location.of(given) if isinstance(given, Path | str) else given


TableLocation = Annotated[Location, BeforeValidator(_location_of)]
"""A field of a document that takes a folder's path for a location, too."""
