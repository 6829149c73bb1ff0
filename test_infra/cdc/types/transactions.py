"""Transaction ids of PostgreSQL: 32 bits on the wire, 64 bits in the lake."""

from __future__ import annotations


def widen(tx_id_32: int, reference: int) -> int:
    """The 64-bit transaction id with these low 32 bits that is nearest to ``reference``.

    PostgreSQL's 32-bit ids wrap around; two ids alive at once are always less than 2**31 apart, so the nearest
    one is the right one whenever the reference is an id of about the same time.

    Args:
        tx_id_32: ``source.txId`` of an event; only its low 32 bits count.
        reference: any recent 64-bit id, such as ``pg_current_xact_id()`` at start or the largest one seen.
    """
    ahead = (tx_id_32 - reference) & 0xFFFFFFFF
    nearest = reference + ahead - (0x1_0000_0000 if ahead >= 0x8000_0000 else 0)
    return nearest if nearest >= 0 else nearest + 0x1_0000_0000


def widen_sql(expr: str, reference: str) -> str:
    """`widen` as DuckDB SQL over two BIGINT expressions."""
    ahead = f"(({expr} - {reference}) & 4294967295)"
    nearest = f"({reference} + {ahead} - CASE WHEN {ahead} >= 2147483648 THEN 4294967296 ELSE 0 END)"
    return f"CASE WHEN {nearest} >= 0 THEN {nearest} ELSE {nearest} + 4294967296 END"
