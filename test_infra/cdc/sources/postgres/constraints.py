"""What PostgreSQL's catalogue says of the rows that a table takes: keys, conditions, defaults, triggers and rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from test_infra.cdc.sources.constraints import (
    Action,
    Check,
    Filled,
    ForeignKey,
    SideEffect,
    TableConstraints,
    Unique,
)
from test_infra.cdc.sources.postgres.key_index import KEY_INDEX

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from test_infra.cdc.types.table import TableSchema

_OF_TABLE = """
WITH captured AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')
)"""
_CONSTRAINTS = f"""{_OF_TABLE}
SELECT con.conname, con.contype,
    ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.attnum ORDER BY k.place),
    fn.nspname, fc.relname,
    ARRAY(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY AS k (attnum, place)
          JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.attnum ORDER BY k.place),
    con.confdeltype, con.confupdtype, con.condeferrable,
    ARRAY(SELECT a.attname::text FROM pg_attribute a
          WHERE a.attrelid = con.conrelid AND a.attnum = ANY((to_jsonb(con) ->> 'confdelsetcols')::int2[])),
    pg_get_expr(con.conbin, con.conrelid)
FROM captured JOIN pg_constraint con ON con.conrelid = captured.oid AND con.conparentid = 0
LEFT JOIN pg_class fc ON fc.oid = con.confrelid LEFT JOIN pg_namespace fn ON fn.oid = fc.relnamespace
WHERE con.contype IN ('c', 'f', 'x') AND coalesce((to_jsonb(con) ->> 'conenforced')::boolean, true)
ORDER BY con.conname"""
_UNIQUES = f"""{_OF_TABLE}
SELECT ic.relname,
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND (
        a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]) OR EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum
                AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
        ) AND NOT a.attnum = ANY((i.indkey::int2[])[i.indnkeyatts:]) ORDER BY a.attnum),
    NOT coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false)
FROM captured JOIN pg_index i ON i.indrelid = captured.oid JOIN pg_class ic ON ic.oid = i.indexrelid
LEFT JOIN LATERAL ({KEY_INDEX.format(table="captured.oid")}) AS key_index ON true
WHERE i.indisunique AND i.indexrelid IS DISTINCT FROM key_index.indexrelid AND i.indislive
ORDER BY ic.relname"""
_COLUMNS = f"""{_OF_TABLE}
SELECT a.attname, coalesce(pg_get_expr(d.adbin, d.adrelid), domain.typdefault, ''), a.attidentity,
    pg_get_serial_sequence(quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname),
    domain.not_null, domain.checks
FROM captured JOIN pg_class c ON c.oid = captured.oid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (
    WITH RECURSIVE below (oid) AS (
        VALUES (a.atttypid)
        UNION ALL
        SELECT t.typbasetype FROM below JOIN pg_type t ON t.oid = below.oid WHERE t.typtype = 'd'
    )
    SELECT (SELECT bool_or(t.typnotnull) FROM below JOIN pg_type t ON t.oid = below.oid) AS not_null,
        (SELECT t.typdefault FROM below JOIN pg_type t ON t.oid = below.oid WHERE t.typdefault IS NOT NULL LIMIT 1),
        ARRAY(SELECT ARRAY[con.conname::text, pg_get_constraintdef(con.oid)]
              FROM below JOIN pg_constraint con ON con.contypid = below.oid AND con.contype = 'c'
              ORDER BY con.conname) AS checks
) AS domain
ORDER BY a.attnum"""
_SIDE_EFFECTS = f"""{_OF_TABLE}, part AS (
    SELECT oid FROM captured UNION SELECT relid FROM captured, LATERAL pg_partition_tree(captured.oid)
)
SELECT DISTINCT 'trigger ' || t.tgname, t.tgtype & 3 = 3, false
FROM part JOIN pg_trigger t ON t.tgrelid = part.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
WHERE t.tgtype & (4 | 8 | 16) > 0
UNION ALL
SELECT 'rule ' || r.rulename, false, true FROM captured JOIN pg_rewrite r ON r.ev_class = captured.oid
WHERE r.ev_enabled <> 'D' AND r.ev_type <> '1'
ORDER BY 1"""
_ACTIONS = {
    "a": Action.REFUSE,
    "r": Action.REFUSE,
    "c": Action.CASCADE,
    "n": Action.SET_NULL,
    "d": Action.SET_DEFAULT,
}
_IDENTITY = {"a": "always", "d": "by default"}


def constraints(connection: psycopg.Connection, schemas: Sequence[TableSchema]) -> list[TableConstraints]:
    """What the catalogue says of each table, in their order."""
    return [_of_table(connection, schema) for schema in schemas]


def _of_table(connection: psycopg.Connection, schema: TableSchema) -> TableConstraints:
    def rows(query: str) -> list[tuple[Any, ...]]:
        # Literal percent signs do not occur in these queries, so the two parameters are all there is.
        return connection.execute(query.encode(), [schema.schema, schema.name]).fetchall()

    declared = rows(_CONSTRAINTS)
    columns = rows(_COLUMNS)
    return TableConstraints(
        foreign_keys=tuple(
            ForeignKey(
                name,
                tuple(own),
                (parent_schema, parent),
                tuple(parents),
                _ACTIONS[on_delete],
                _ACTIONS[on_update],
                deferrable=deferrable,
                set_columns=tuple(set_columns),
            )
            for name, kind, own, parent_schema, parent, parents, on_delete, on_update, deferrable, set_columns, _ in (
                declared
            )
            if kind == "f"
        ),
        uniques=tuple(Unique(name, tuple(own), distinct) for name, own, distinct in rows(_UNIQUES)),
        checks=(
            *(Check(row[0], tuple(row[2]), row[10]) for row in declared if row[1] == "c"),
            *(
                Check(name, (column,), _condition(text), of_domain=True)
                for column, *_, checks in columns
                for name, text in checks
            ),
        ),
        exclusions=tuple(Unique(row[0], tuple(row[2])) for row in declared if row[1] == "x"),
        filled=tuple(
            Filled(column, default, _IDENTITY.get(identity, ""), owned or _sequence(default))
            for column, default, identity, owned, *_ in columns
            if default or identity
        ),
        not_null=tuple(row[0] for row in columns if row[4]),
        side_effects=tuple(
            SideEffect(name, before_row=before, rule=rule) for name, before, rule in rows(_SIDE_EFFECTS)
        ),
    )


def _sequence(default: str) -> str:
    """The sequence of a default such as ``nextval('numbers'::regclass)``; empty for any other default."""
    found = re.fullmatch(r"nextval\('((?:[^']|'')+)'::regclass\)", default)
    return found[1].replace("''", "'") if found else ""


def _condition(definition: str) -> str:
    """The condition of ``CHECK (...)``, whatever stands behind it."""
    return re.sub(r"^CHECK \((.*)\)(?: NOT VALID)?(?: NOT ENFORCED)?$", r"\1", definition, flags=re.DOTALL)
