CREATE TEMP TABLE temp."test_infra 1.0 keys with unchanged values" AS SELECT DISTINCT "key" FROM incoming WHERE len(unchanged) > 0;

INSERT INTO temp."test_infra 1.0 keys with unchanged values" SELECT DISTINCT gone."key"
FROM incoming new JOIN incoming gone ON gone.lsn = new.lsn
    AND gone.op = 'd' AND new.op = 'c' AND gone."key" <> new."key"
WHERE len(new.unchanged) > 0 AND new."key" IN (SELECT "key" FROM temp."test_infra 1.0 keys with unchanged values")
    AND gone."key" NOT IN (SELECT "key" FROM temp."test_infra 1.0 keys with unchanged values");

CREATE TEMP TABLE temp."test_infra 1.1 events" AS SELECT DISTINCT ON ("key", lsn, op) "key", op, lsn, snapshot, after, unchanged FROM incoming
WHERE op IN ('c', 'u', 'r', 'd') AND "key" IN (SELECT "key" FROM temp."test_infra 1.0 keys with unchanged values")
UNION ALL
SELECT {'lsn': "lsn", 'the "id"': "the ""id"""}, 'base', _lsn, _snapshot, {'the "id"': "the ""id""", 'it''s': "it's", 'lsn': "lsn", 'a b': "a b", 'p"t': "p""t", 'tags': "tags", 'ratio': "ratio"}, NULL FROM base
WHERE {'lsn': "lsn", 'the "id"': "the ""id"""} IN (SELECT "key" FROM temp."test_infra 1.0 keys with unchanged values");

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 1.1 events";

CREATE TEMP TABLE temp."test_infra 1.2 values_of_own_key" AS SELECT event, found FROM (
    SELECT rowid AS event, op, unchanged, {
        'it''s': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') THEN {'has': true, 'v': struct_extract(after, 'it''s')} END
            IGNORE NULLS) OVER before,
        'a b': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') THEN {'has': true, 'v': struct_extract(after, 'a b')} END
            IGNORE NULLS) OVER before,
        'p"t': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') THEN {'has': true, 'v': struct_extract(after, 'p"t')} END
            IGNORE NULLS) OVER before,
        'tags': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') THEN {'has': true, 'v': struct_extract(after, 'tags')} END
            IGNORE NULLS) OVER before,
        'ratio': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') THEN {'has': true, 'v': struct_extract(after, 'ratio')} END
            IGNORE NULLS) OVER before
    } AS found FROM temp."test_infra 1.1 events"
    WINDOW before AS (PARTITION BY "key" ORDER BY NOT snapshot, lsn, op = 'd' DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) WHERE op <> 'c' AND len(unchanged) > 0;

SELECT count(*) FROM temp."test_infra 1.2 values_of_own_key";

UPDATE temp."test_infra 1.1 events" AS events SET after = {
    'the "id"': struct_extract(after, 'the "id"'),
    'it''s': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') AND coalesce(struct_extract(struct_extract(found, 'it''s'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'it''s'), 'v')
        ELSE struct_extract(after, 'it''s') END,
    'lsn': struct_extract(after, 'lsn'),
    'a b': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') AND coalesce(struct_extract(struct_extract(found, 'a b'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'a b'), 'v')
        ELSE struct_extract(after, 'a b') END,
    'p"t': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') AND coalesce(struct_extract(struct_extract(found, 'p"t'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'p"t'), 'v')
        ELSE struct_extract(after, 'p"t') END,
    'tags': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') AND coalesce(struct_extract(struct_extract(found, 'tags'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'tags'), 'v')
        ELSE struct_extract(after, 'tags') END,
    'ratio': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') AND coalesce(struct_extract(struct_extract(found, 'ratio'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'ratio'), 'v')
        ELSE struct_extract(after, 'ratio') END
}, unchanged = list_filter([
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') AND coalesce(struct_extract(struct_extract(found, 'it''s'), 'has'), false)) THEN 'it''s' END,
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') AND coalesce(struct_extract(struct_extract(found, 'a b'), 'has'), false)) THEN 'a b' END,
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') AND coalesce(struct_extract(struct_extract(found, 'p"t'), 'has'), false)) THEN 'p"t' END,
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') AND coalesce(struct_extract(struct_extract(found, 'tags'), 'has'), false)) THEN 'tags' END,
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') AND coalesce(struct_extract(struct_extract(found, 'ratio'), 'has'), false)) THEN 'ratio' END
]::VARCHAR[], lambda name: name IS NOT NULL)
FROM temp."test_infra 1.2 values_of_own_key" AS filled WHERE events.rowid = filled.event;

CREATE TEMP TABLE temp."test_infra 1.3 values_of_old_key" AS SELECT new.rowid AS event, {
    'it''s': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'it''s'), 'v': struct_extract(old.after, 'it''s')},
    'a b': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'a b'), 'v': struct_extract(old.after, 'a b')},
    'p"t': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'p"t'), 'v': struct_extract(old.after, 'p"t')},
    'tags': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'tags'), 'v': struct_extract(old.after, 'tags')},
    'ratio': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'ratio'), 'v': struct_extract(old.after, 'ratio')}
} AS found
FROM temp."test_infra 1.1 events" new JOIN temp."test_infra 1.1 events" gone ON gone.lsn = new.lsn AND gone.op = 'd'
JOIN temp."test_infra 1.1 events" old ON old."key" = gone."key" AND old.op <> 'd' AND (old.snapshot OR old.lsn < new.lsn)
WHERE new.op = 'c' AND len(new.unchanged) > 0
QUALIFY row_number() OVER (PARTITION BY new.rowid ORDER BY old.snapshot, old.lsn DESC) = 1;

SELECT count(*) FROM temp."test_infra 1.3 values_of_old_key";

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 1.1 events";

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 1.1 events";

CREATE TEMP TABLE temp."test_infra 1.4 values_of_own_key" AS SELECT event, found FROM (
    SELECT rowid AS event, op, unchanged, {
        'it''s': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') THEN {'has': true, 'v': struct_extract(after, 'it''s')} END
            IGNORE NULLS) OVER before,
        'a b': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') THEN {'has': true, 'v': struct_extract(after, 'a b')} END
            IGNORE NULLS) OVER before,
        'p"t': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') THEN {'has': true, 'v': struct_extract(after, 'p"t')} END
            IGNORE NULLS) OVER before,
        'tags': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') THEN {'has': true, 'v': struct_extract(after, 'tags')} END
            IGNORE NULLS) OVER before,
        'ratio': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') THEN {'has': true, 'v': struct_extract(after, 'ratio')} END
            IGNORE NULLS) OVER before
    } AS found FROM temp."test_infra 1.1 events"
    WINDOW before AS (PARTITION BY "key" ORDER BY NOT snapshot, lsn, op = 'd' DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) WHERE op <> 'c' AND len(unchanged) > 0;

SELECT count(*) FROM temp."test_infra 1.4 values_of_own_key";

CREATE TEMP TABLE temp."test_infra 1.5 values_of_old_key" AS SELECT new.rowid AS event, {
    'it''s': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'it''s'), 'v': struct_extract(old.after, 'it''s')},
    'a b': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'a b'), 'v': struct_extract(old.after, 'a b')},
    'p"t': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'p"t'), 'v': struct_extract(old.after, 'p"t')},
    'tags': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'tags'), 'v': struct_extract(old.after, 'tags')},
    'ratio': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'ratio'), 'v': struct_extract(old.after, 'ratio')}
} AS found
FROM temp."test_infra 1.1 events" new JOIN temp."test_infra 1.1 events" gone ON gone.lsn = new.lsn AND gone.op = 'd'
JOIN temp."test_infra 1.1 events" old ON old."key" = gone."key" AND old.op <> 'd' AND (old.snapshot OR old.lsn < new.lsn)
WHERE new.op = 'c' AND len(new.unchanged) > 0
QUALIFY row_number() OVER (PARTITION BY new.rowid ORDER BY old.snapshot, old.lsn DESC) = 1;

SELECT count(*) FROM temp."test_infra 1.5 values_of_old_key";

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 1.1 events";

SELECT changes.* REPLACE (
    CASE WHEN events.op IS NOT NULL THEN events.after ELSE changes.after END AS after,
    CASE WHEN events.op IS NOT NULL THEN events.unchanged ELSE changes.unchanged END AS unchanged)
FROM incoming AS changes LEFT JOIN temp."test_infra 1.1 events" AS events ON len(changes.unchanged) > 0
    AND events."key" = changes."key" AND events.lsn = changes.lsn AND events.op = changes.op;

DROP TABLE IF EXISTS temp."test_infra 1.0 keys with unchanged values";

DROP TABLE IF EXISTS temp."test_infra 1.1 events";

DROP TABLE IF EXISTS temp."test_infra 1.2 values_of_own_key";

DROP TABLE IF EXISTS temp."test_infra 1.3 values_of_old_key";

DROP TABLE IF EXISTS temp."test_infra 1.4 values_of_own_key";

DROP TABLE IF EXISTS temp."test_infra 1.5 values_of_old_key";

CREATE TEMP TABLE temp."test_infra 2.0 keys with values in the log" AS SELECT DISTINCT "key" FROM incoming WHERE op = 'c' AND len(unchanged) > 0;

INSERT INTO temp."test_infra 2.0 keys with values in the log" SELECT DISTINCT gone."key"
FROM log new JOIN log gone ON gone.lsn = new.lsn
    AND gone.op = 'd' AND new.op = 'c' AND gone."key" <> new."key"
WHERE len(new.unchanged) > 0 AND new."key" IN (SELECT "key" FROM temp."test_infra 2.0 keys with values in the log")
    AND gone."key" NOT IN (SELECT "key" FROM temp."test_infra 2.0 keys with values in the log");

INSERT INTO temp."test_infra 2.0 keys with values in the log" SELECT DISTINCT gone."key"
FROM log new JOIN log gone ON gone.lsn = new.lsn
    AND gone.op = 'd' AND new.op = 'c' AND gone."key" <> new."key"
WHERE len(new.unchanged) > 0 AND new."key" IN (SELECT "key" FROM temp."test_infra 2.0 keys with values in the log")
    AND gone."key" NOT IN (SELECT "key" FROM temp."test_infra 2.0 keys with values in the log");

CREATE TEMP TABLE temp."test_infra 2.1 events of the log" AS SELECT DISTINCT ON ("key", lsn, op) "key", op, lsn, snapshot, after, unchanged FROM log
WHERE op IN ('c', 'u', 'r', 'd') AND "key" IN (SELECT "key" FROM temp."test_infra 2.0 keys with values in the log");

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 2.1 events of the log";

CREATE TEMP TABLE temp."test_infra 2.2 values_of_own_key" AS SELECT event, found FROM (
    SELECT rowid AS event, op, unchanged, {
        'it''s': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') THEN {'has': true, 'v': struct_extract(after, 'it''s')} END
            IGNORE NULLS) OVER before,
        'a b': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') THEN {'has': true, 'v': struct_extract(after, 'a b')} END
            IGNORE NULLS) OVER before,
        'p"t': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') THEN {'has': true, 'v': struct_extract(after, 'p"t')} END
            IGNORE NULLS) OVER before,
        'tags': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') THEN {'has': true, 'v': struct_extract(after, 'tags')} END
            IGNORE NULLS) OVER before,
        'ratio': last_value(
            CASE WHEN op = 'd' OR (op = 'c' AND list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio')) THEN {'has': false, 'v': NULL}
                WHEN NOT list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') THEN {'has': true, 'v': struct_extract(after, 'ratio')} END
            IGNORE NULLS) OVER before
    } AS found FROM temp."test_infra 2.1 events of the log"
    WINDOW before AS (PARTITION BY "key" ORDER BY NOT snapshot, lsn, op = 'd' DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) WHERE op <> 'c' AND len(unchanged) > 0;

SELECT count(*) FROM temp."test_infra 2.2 values_of_own_key";

CREATE TEMP TABLE temp."test_infra 2.3 values_of_old_key" AS SELECT new.rowid AS event, {
    'it''s': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'it''s'), 'v': struct_extract(old.after, 'it''s')},
    'a b': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'a b'), 'v': struct_extract(old.after, 'a b')},
    'p"t': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'p"t'), 'v': struct_extract(old.after, 'p"t')},
    'tags': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'tags'), 'v': struct_extract(old.after, 'tags')},
    'ratio': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'ratio'), 'v': struct_extract(old.after, 'ratio')}
} AS found
FROM temp."test_infra 2.1 events of the log" new JOIN temp."test_infra 2.1 events of the log" gone ON gone.lsn = new.lsn AND gone.op = 'd'
JOIN temp."test_infra 2.1 events of the log" old ON old."key" = gone."key" AND old.op <> 'd' AND (old.snapshot OR old.lsn < new.lsn)
WHERE new.op = 'c' AND len(new.unchanged) > 0
QUALIFY row_number() OVER (PARTITION BY new.rowid ORDER BY old.snapshot, old.lsn DESC) = 1;

SELECT count(*) FROM temp."test_infra 2.3 values_of_old_key";

UPDATE temp."test_infra 2.1 events of the log" AS events SET after = {
    'the "id"': struct_extract(after, 'the "id"'),
    'it''s': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') AND coalesce(struct_extract(struct_extract(found, 'it''s'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'it''s'), 'v')
        ELSE struct_extract(after, 'it''s') END,
    'lsn': struct_extract(after, 'lsn'),
    'a b': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') AND coalesce(struct_extract(struct_extract(found, 'a b'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'a b'), 'v')
        ELSE struct_extract(after, 'a b') END,
    'p"t': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') AND coalesce(struct_extract(struct_extract(found, 'p"t'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'p"t'), 'v')
        ELSE struct_extract(after, 'p"t') END,
    'tags': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') AND coalesce(struct_extract(struct_extract(found, 'tags'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'tags'), 'v')
        ELSE struct_extract(after, 'tags') END,
    'ratio': CASE WHEN (list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') AND coalesce(struct_extract(struct_extract(found, 'ratio'), 'has'), false))
        THEN struct_extract(struct_extract(found, 'ratio'), 'v')
        ELSE struct_extract(after, 'ratio') END
}, unchanged = list_filter([
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'it''s') AND coalesce(struct_extract(struct_extract(found, 'it''s'), 'has'), false)) THEN 'it''s' END,
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'a b') AND coalesce(struct_extract(struct_extract(found, 'a b'), 'has'), false)) THEN 'a b' END,
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'p"t') AND coalesce(struct_extract(struct_extract(found, 'p"t'), 'has'), false)) THEN 'p"t' END,
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'tags') AND coalesce(struct_extract(struct_extract(found, 'tags'), 'has'), false)) THEN 'tags' END,
    CASE WHEN list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') AND NOT (list_contains(coalesce(unchanged, []::VARCHAR[]), 'ratio') AND coalesce(struct_extract(struct_extract(found, 'ratio'), 'has'), false)) THEN 'ratio' END
]::VARCHAR[], lambda name: name IS NOT NULL)
FROM temp."test_infra 2.3 values_of_old_key" AS filled WHERE events.rowid = filled.event;

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 2.1 events of the log";

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 2.1 events of the log";

SELECT changes.* REPLACE (
    CASE WHEN events.op IS NOT NULL THEN events.after ELSE changes.after END AS after,
    CASE WHEN events.op IS NOT NULL THEN events.unchanged ELSE changes.unchanged END AS unchanged)
FROM incoming AS changes LEFT JOIN temp."test_infra 2.1 events of the log" AS events ON len(changes.unchanged) > 0
    AND events."key" = changes."key" AND events.lsn = changes.lsn AND events.op = changes.op;

DROP TABLE IF EXISTS temp."test_infra 2.0 keys with values in the log";

DROP TABLE IF EXISTS temp."test_infra 2.1 events of the log";

DROP TABLE IF EXISTS temp."test_infra 2.2 values_of_own_key";

DROP TABLE IF EXISTS temp."test_infra 2.3 values_of_old_key";
