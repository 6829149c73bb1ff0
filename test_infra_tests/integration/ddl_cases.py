"""DDL on captured tables, and what becomes of it: nothing, followed, or told."""

from __future__ import annotations

HARMLESS = {
    "not_null": "ALTER TABLE not_null ALTER v SET NOT NULL",
    "label_added": "ALTER TYPE mood ADD VALUE 'z'",
    "checked": "ALTER DOMAIN small ADD CHECK (value < 1000)",
    "vacuumed": "VACUUM FULL vacuumed",
    "clustered": "CLUSTER clustered USING clustered_pkey",
    "reindexed": "REINDEX TABLE reindexed",
    "identified": "ALTER TABLE identified REPLICA IDENTITY FULL",
}
DEFAULTS = (
    "ADD COLUMN n int DEFAULT 7, ADD t text NOT NULL DEFAULT 'it''s \"so\"', ADD a int[] DEFAULT '{1,NULL,3}', "
    "ADD at timestamptz DEFAULT '2026-01-01 00:00+01', ADD d numeric(12,2) DEFAULT 1.5, ADD z real DEFAULT '-0', "
    "ADD j jsonb DEFAULT '{\"a\": [1, \"\\n\"]}', ADD b bytea DEFAULT '\\xff00', ADD k boolean DEFAULT true, "
    "ADD f double precision DEFAULT 'NaN', ADD m mood DEFAULT 'b', ADD i interval DEFAULT '1 mon 2 days', "
    'ADD s text[] DEFAULT \'{"a,b","",NULL}\''
)
FOLLOWED = {
    "added": ["ALTER TABLE added ADD COLUMN n int", "INSERT INTO added VALUES (3, 3, 3)"],
    "idle": ["ALTER TABLE idle ADD COLUMN n int"],
    "filled": ["ALTER TABLE filled " + DEFAULTS],
    "filled_twice": [
        "ALTER TABLE filled_twice ADD COLUMN n int DEFAULT 7",
        "UPDATE filled_twice SET v = 9 WHERE id = 1",
        "ALTER TABLE filled_twice ALTER n SET DEFAULT 8",
        "INSERT INTO filled_twice (id, v) VALUES (3, 3)",
        "ALTER TABLE filled_twice ADD COLUMN m text DEFAULT 'm'",
    ],
    "dropped": ["ALTER TABLE dropped DROP COLUMN v", "INSERT INTO dropped VALUES (3)"],
    "renamed": ["ALTER TABLE renamed RENAME v TO w", "UPDATE renamed SET w = 5 WHERE id = 2"],
    "widened": ["ALTER TABLE widened ALTER v TYPE bigint", "UPDATE widened SET v = 1099511627776 WHERE id = 2"],
    "widened_key": [
        "DELETE FROM widened_key WHERE id = 2",
        "ALTER TABLE widened_key ALTER id TYPE bigint",
        "INSERT INTO widened_key VALUES (1099511627776, 1), (2, 3)",
    ],
    "to_numeric": ["ALTER TABLE to_numeric ALTER v TYPE numeric(14,2)", "INSERT INTO to_numeric VALUES (3, 0.25)"],
    "full": [
        'ALTER TABLE "full" REPLICA IDENTITY FULL',
        'ALTER TABLE "full" ADD COLUMN n int DEFAULT 7',
        'UPDATE "full" SET v = 4 WHERE id = 1',
        'DELETE FROM "full" WHERE id = 2',
    ],
    "computed_anew": [
        "ALTER TABLE computed_anew ADD COLUMN g int GENERATED ALWAYS AS (v * 2) STORED",
        "INSERT INTO computed_anew (id, v) VALUES (3, 3)",
    ],
    "together": [
        """BEGIN;
        INSERT INTO together VALUES (3, 3, 3);
        ALTER TABLE together ALTER v TYPE bigint;
        ALTER TABLE together ADD COLUMN n int DEFAULT 7;
        INSERT INTO together VALUES (4, 4, 4, 4);
        ALTER TABLE together RENAME v TO x;
        UPDATE together SET x = 9 WHERE id = 1;
        ALTER TABLE together DROP COLUMN w;
        DELETE FROM together WHERE id = 2;
        INSERT INTO together VALUES (5, 1099511627776, 5);
        COMMIT"""
    ],
    "sales.orders": [
        "ALTER TABLE sales.orders ADD COLUMN n int DEFAULT 7",
        "UPDATE sales.orders SET v = 3 WHERE id = 2",
    ],
    "hr.orders": ["ALTER TABLE hr.orders RENAME v TO w", "INSERT INTO hr.orders VALUES (3, 3)"],
    "parted_filled": [
        "ALTER TABLE parted_filled ADD COLUMN n int DEFAULT 7",
        "CREATE TABLE parted_filled_high PARTITION OF parted_filled FOR VALUES FROM (9) TO (99)",
        "INSERT INTO parted_filled VALUES (3, 3, 3), (10, 10, 10)",
    ],
    "left_out": ["ALTER TABLE left_out DROP COLUMN secret", "INSERT INTO left_out VALUES (3, 3)"],
    "by_index": ["ALTER TABLE by_index ADD COLUMN n int DEFAULT 7", "UPDATE by_index SET v = 3 WHERE code = 'a'"],
    "history": [
        """BEGIN;
        INSERT INTO history VALUES (3, 3, 'b'), (3, 3, 'b');
        ALTER TABLE history ALTER who TYPE bigint;
        ALTER TABLE history ADD COLUMN n int DEFAULT 7;
        INSERT INTO history VALUES (3, 3, 'b', 7);
        ALTER TABLE history RENAME v TO x;
        COMMIT""",
        "INSERT INTO history VALUES (1099511627776, 3, 'b', 8), (1099511627776, 3, 'b', 8)",
        "ALTER TABLE history DROP COLUMN w",
        "INSERT INTO history VALUES (4, 4, 4)",
    ],
    "idle_history": ["ALTER TABLE idle_history ADD COLUMN n int DEFAULT 7"],
}
"""Table -> DDL, and changes of its rows after it."""
UNDER_LOAD = (
    "ALTER TABLE {} ADD COLUMN n int NOT NULL DEFAULT 7",
    "ALTER TABLE {} RENAME w TO x",
    "ALTER TABLE {} ALTER v TYPE bigint",
    "ALTER TABLE {} DROP COLUMN x",
)
BUSY = ("busy", "busy_history")
TOLD: dict[str, tuple[str, set[str], str]] = {
    "volatile": (
        "ALTER TABLE volatile ADD COLUMN u uuid DEFAULT gen_random_uuid()",
        {"VALUE"},
        "column u uuid was added",
    ),
    "filled_and_rewritten": (
        (
            "BEGIN; ALTER TABLE filled_and_rewritten ADD COLUMN n int DEFAULT 7; "
            "ALTER TABLE filled_and_rewritten ALTER v TYPE bigint; COMMIT"
        ),
        {"VALUE"},
        "column n integer was added",
    ),
    "made_anew": ("ALTER TABLE made_anew DROP COLUMN v, ADD COLUMN v int", {"VALUE"}, "column v was dropped"),
    "narrowed": ("ALTER TABLE narrowed ALTER v TYPE smallint", {"SCHEMA"}, "column v is smallint and was integer"),
    "relabelled": ("ALTER TYPE relabelled_mood RENAME VALUE 'a' TO 'z'", {"VALUE"}, "labels of the enum"),
    "computed": ("ALTER TABLE computed ALTER v TYPE int USING v + 1", {"VALUE"}, "its rows were written anew"),
    "parted": (
        "ALTER TABLE parted ATTACH PARTITION filled_part FOR VALUES FROM (9) TO (99)",
        {"MISSING"},
        "filled_part",
    ),
    "rekeyed": (
        "ALTER TABLE rekeyed DROP CONSTRAINT rekeyed_pkey, ADD PRIMARY KEY (id, v)",
        {"SCHEMA"},
        "the key is (id, v), and was (id)",
    ),
    "renamed_key": ("ALTER TABLE renamed_key RENAME id TO nr", {"SCHEMA"}, "column id is nr now"),
    "marked_up": ("ALTER TABLE marked_up ADD COLUMN x xml", {"SCHEMA"}, "column x xml was added"),
    "called_else": ("ALTER TABLE called_else RENAME TO else_called", {"SCHEMA"}, "is public.else_called now"),
    "moved": ("ALTER TABLE moved SET SCHEMA elsewhere", {"SCHEMA"}, "is elsewhere.moved now"),
    "renamed_secret": ("ALTER TABLE renamed_secret RENAME secret TO s", {"SCHEMA"}, "column secret is s now"),
    "renamed_note": ("ALTER TABLE renamed_note RENAME secret TO s", {"VALUE"}, "column secret is s now"),
    "volatile_history": (
        "ALTER TABLE volatile_history ADD COLUMN u uuid DEFAULT gen_random_uuid()",
        {"MISSING", "EXTRA"},
        "column u uuid was added",
    ),
    "no_longer_computed": (
        "ALTER TABLE no_longer_computed ALTER g DROP EXPRESSION",
        {"VALUE"},
        "column g is an ordinary one now and was generated",
    ),
    "numbered_history": (
        "ALTER TABLE numbered_history ADD COLUMN n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        {"SCHEMA"},
        "the key is (n), and was ()",
    ),
}
"""Table -> DDL, verdicts, and words of the finding."""
HEALED = {
    "volatile": "UPDATE volatile SET u = u",
    "filled_and_rewritten": "UPDATE filled_and_rewritten SET n = n",
    "relabelled": "UPDATE relabelled SET v = v",
    "computed": "UPDATE computed SET v = v",
    "parted": "UPDATE parted SET v = v",
    "volatile_history": """BEGIN;
        CREATE TEMP TABLE copy AS TABLE volatile_history;
        TRUNCATE volatile_history;
        INSERT INTO volatile_history TABLE copy;
        COMMIT""",
}
"""What brings an event for the rows that DDL changed without one."""
NOT_READ = ("called_else", "moved", "marked_up", "renamed_secret")
"""Tables that cannot be captured any more after that; whoever is judged together with them is judged alone."""
LEFT_OUT = {"left_out", "renamed_secret", "renamed_note"}
"""Tables of which the column ``secret`` is not captured."""

_FIRST = """
CREATE TYPE mood AS ENUM ('a', 'b');
CREATE TYPE relabelled_mood AS ENUM ('a', 'b');
CREATE DOMAIN small AS int;
CREATE SCHEMA elsewhere;
CREATE SCHEMA sales;
CREATE SCHEMA hr;
CREATE TABLE filled_part (id int PRIMARY KEY, v int NOT NULL);
INSERT INTO filled_part VALUES (10, 1);
"""
_MADE = {
    "not_null": "CREATE TABLE not_null (id int PRIMARY KEY, v int); INSERT INTO not_null VALUES (1, 1), (2, 1);",
    "label_added": "CREATE TABLE label_added (id int PRIMARY KEY, v mood); INSERT INTO label_added VALUES (1, 'a');",
    "relabelled": "CREATE TABLE relabelled (id int PRIMARY KEY, v relabelled_mood); "
    "INSERT INTO relabelled VALUES (1, 'a'), (2, 'a');",
    "checked": "CREATE TABLE checked (id int PRIMARY KEY, v small); INSERT INTO checked VALUES (1, 1);",
    "parted": "CREATE TABLE parted (id int PRIMARY KEY, v int NOT NULL) PARTITION BY RANGE (id); "
    "CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (9); INSERT INTO parted VALUES (1, 1);",
    "parted_filled": "CREATE TABLE parted_filled (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); "
    "CREATE TABLE parted_filled_low PARTITION OF parted_filled FOR VALUES FROM (0) TO (9); "
    "INSERT INTO parted_filled VALUES (1, 1), (2, 2);",
    "together": "CREATE TABLE together (id int PRIMARY KEY, v int, w int); "
    "INSERT INTO together VALUES (1, 1, 1), (2, 2, 2);",
    "left_out": "CREATE TABLE left_out (id int PRIMARY KEY, v int, secret tsquery); "
    "INSERT INTO left_out VALUES (1, 1, 'a & b'), (2, 2, NULL);",
    "renamed_secret": "CREATE TABLE renamed_secret (id int PRIMARY KEY, v int, secret tsquery); "
    "INSERT INTO renamed_secret VALUES (1, 1, 'a & b'), (2, 2, NULL);",
    "renamed_note": "CREATE TABLE renamed_note (id int PRIMARY KEY, v int, secret text); "
    "INSERT INTO renamed_note VALUES (1, 1, 'a'), (2, 2, NULL);",
    "by_index": "CREATE TABLE by_index (code text NOT NULL, v int); CREATE UNIQUE INDEX by_code ON by_index (code); "
    "ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_code; INSERT INTO by_index VALUES ('a', 1), ('b', 2);",
    "no_longer_computed": "CREATE TABLE no_longer_computed (id int PRIMARY KEY, v int, "
    "g int GENERATED ALWAYS AS (v * 2) STORED); INSERT INTO no_longer_computed (id, v) VALUES (1, 1), (2, 2);",
    "history": "CREATE TABLE history (who int, v int, w text); "
    "INSERT INTO history VALUES (1, 1, 'a'), (1, 1, 'a'), (2, NULL, NULL);",
    "busy": "CREATE TABLE busy (id int PRIMARY KEY, v int, w int);",
    "busy_history": "CREATE TABLE busy_history (v int, w int); INSERT INTO busy_history VALUES (1, 1), (1, 1);",
    **{
        table: f"CREATE TABLE {table} (who int); INSERT INTO {table} VALUES (1), (1);"
        for table in ("idle_history", "volatile_history", "numbered_history")
    },
}
"""How a table is made that is not an ordinary one."""

TABLES = [*HARMLESS, *FOLLOWED, *TOLD, *BUSY]


def tables_sql() -> str:
    """The SQL file that makes them."""

    def made(table: str) -> str:
        name = table if "." in table else f'"{table}"'
        return f"CREATE TABLE {name} (id int PRIMARY KEY, v int NOT NULL); INSERT INTO {name} VALUES (1, 1), (2, 1);"

    return "\n".join([_FIRST, *(_MADE.get(table) or made(table) for table in TABLES)])
