"""What a checker of a pipeline may find; anything found is red."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """One kind of fault. No verdict at all is green."""

    MISSING = "MISSING"
    """A row or record that must be there is not."""
    EXTRA = "EXTRA"
    """A row is there that must not be."""
    VALUE = "VALUE"
    """A row is there with another value."""
    SCHEMA = "SCHEMA"
    """Columns or their types differ."""
    LAG = "LAG"
    """The sink was not as far as the source in time; nothing is said about loss."""
    DUPLICATE = "DUPLICATE"
    """More than one row of a key, or one offset applied twice."""
    ORDER = "ORDER"
    """Events of a key are in an order that the source cannot have committed."""
    UNKNOWN = "UNKNOWN"
    """Nothing could be compared or measured, so nothing is proved."""
    LOST = "LOST"
    """An acknowledged operation is not in the sink."""
    GHOST = "GHOST"
    """An operation that was never acknowledged is in the sink."""
    QUARANTINED = "QUARANTINED"
    """A record could not be read and was set aside."""
    NOT_RUNNING = "NOT RUNNING"
    """A program on the way of the rows does not run."""
    BROKEN = "BROKEN"
    """Source, slot, topics, checkpoint and lake do not belong together."""
