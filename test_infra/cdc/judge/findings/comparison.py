"""The finding about the comparison of one table at a cut: a sentence first, then the numbers, then the rows."""

from typing import TYPE_CHECKING

from test_infra.cdc.judge.findings.words import MOST_ROWS, offsets_text, outcome_of
from test_infra.verdict.evidence import FROM_CHARACTER, Finding

if TYPE_CHECKING:
    from test_infra.cdc.judge.differences import Difference, TableParity


def parity(table: "TableParity") -> Finding:
    """The comparison of one table at a cut; what was not looked at, because the log is long, is said."""
    return Finding(
        outcome=outcome_of(table.verdicts),
        summary=_summary(table),
        verdicts=tuple(verdict.value for verdict in table.verdicts),
        numbers={
            "source_rows": table.source_rows,
            "mirror_rows": table.mirror_rows,
            "changes": table.changes,
            "clean_keys": table.clean_keys,
            "dirty_keys": table.dirty_keys,
            "replayed_keys": table.replayed_keys or 0,
            **_chain_numbers(table),
            "faults": table.faults,
            **{f"faults_{verdict.value.lower()}": count for verdict, count in table.counts.items()},
        },
        rows=tuple(_difference(found) for found in table.differences[:MOST_ROWS]),
        details={
            "watermark": offsets_text(table.watermark),
            "applied": offsets_text(table.applied),
            "mirror version": _or_none(table.mirror_version),
            "change log version": _or_none(table.changes_version),
            "clean keys compared with the change log": f"{table.replayed_keys or 0} of {table.clean_keys}",
            **_chain_detail(table),
            **table.left_out,
        },
    )


def _summary(table: "TableParity") -> str:
    if table.reason:
        return table.reason
    if table.empty and table.green:
        said = "equal: empty on both sides, and it never changed"
        return "; ".join([said, *([table.moved] if table.moved else []), *_not_looked_at(table)])
    keys = f"{table.clean_keys} keys compared with the source and {table.dirty_keys} through the change log"
    found = ", ".join(f"{count} {verdict.value}" for verdict, count in table.counts.items())
    said = f"{found} among {keys}" if found else f"equal: {table.source_rows} rows, {keys}"
    return "; ".join([said, *_not_looked_at(table)])


def _not_looked_at(table: "TableParity") -> list[str]:
    """What the pipeline and the limits left out; empty when everything was looked at."""
    left_out = [f"{what}: {which}" for what, which in table.left_out.items()]
    if table.replayed_keys is None:
        left_out.append(
            f"only dirty keys compared with the change log, for it has {table.changes} events: "
            f"0 of {table.clean_keys} clean keys replayed"
        )
    chain = table.image_chain
    if chain is not None and chain.since_lsn is not None:
        left_out.append(
            f"before-images looked at from lsn {chain.since_lsn} on: {chain.looked_at} of {chain.events} events"
        )
    return left_out


def _chain_numbers(table: "TableParity") -> dict[str, float]:
    return {} if table.image_chain is None else {"chained_events": table.image_chain.looked_at}


def _chain_detail(table: "TableParity") -> dict[str, str]:
    chain = table.image_chain
    if chain is None:
        return {}
    since = "from the first event on" if chain.since_lsn is None else f"from lsn {chain.since_lsn} on"
    return {"before-images looked at": f"{since}: {chain.looked_at} of {chain.events} events"}


def _difference(found: "Difference") -> dict[str, str]:
    return {
        "verdict": found.verdict.value,
        "key": ", ".join(f"{column}={_or_null(value)}" for column, value in found.key.items()),
        "column": found.column,
        "source": _value(found, found.source_value),
        "mirror": _value(found, found.mirror_value),
        "compared": found.compared,
        **({FROM_CHARACTER: str(found.skipped + 1)} if found.skipped else {}),
    }


def _value(found: "Difference", value: str | None) -> str:
    # Without a column the whole row is concerned, and nothing there is no row.
    return "no row" if value is None and not found.column else _or_null(value)


def _or_null(value: str | None) -> str:
    return "NULL" if value is None else value


def _or_none(version: int | None) -> str:
    return "none" if version is None else str(version)
