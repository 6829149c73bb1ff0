DESCRIBE SELECT * FROM mirror;

SELECT count(*),
    count(*) FILTER (op <> 'r' AND tx_id IS NULL),
    max(lsn) FILTER (op = 'r'),
    max(lsn) FILTER (op = 't'),
    max(lsn) FILTER (op = 't' AND (tx_id < 1000)),
    count(*) FILTER (op = 't' AND NOT (tx_id < 1000)),
    count(*) FILTER (len(unchanged) > 0)
FROM changes WHERE op <> 'tombstone';

CREATE TEMP TABLE temp."test_infra 1.0 dirty keys" AS SELECT DISTINCT k1, k2 FROM (
    SELECT struct_extract("key", 'lsn') AS k1, struct_extract("key", 'the "id"') AS k2 FROM changes
    WHERE op NOT IN ('r', 't', 'tombstone') AND (tx_id >= 1000 AND NOT (tx_id < 1000))
);

SELECT count(*) FROM temp."test_infra 1.0 dirty keys";

CREATE TEMP TABLE temp."test_infra 1.1 source rows of dirty keys" AS FROM (SELECT "the ""id""" AS k2, "it's" AS v1, "lsn" AS k1, "a b" AS v2, "p""t" AS v3, "tags" AS v4, "ratio" AS v5 FROM source) SEMI JOIN temp."test_infra 1.0 dirty keys" USING (k1, k2);

CREATE TEMP TABLE temp."test_infra 1.2 mirror rows of dirty keys" AS FROM (SELECT "the ""id""" AS k2, "it's" AS v1, "lsn" AS k1, "a b" AS v2, "p""t" AS v3, "tags" AS v4, "ratio" AS v5 FROM mirror) SEMI JOIN temp."test_infra 1.0 dirty keys" USING (k1, k2);

CREATE TEMP TABLE temp."test_infra 1.3 sums of source" AS SELECT (hash("k2", "k1") >> 52)::INTEGER AS bucket, count(*) AS rows,
        sum(hash(hash("k2", "v1", "k1", "v2", "v3" IS NULL, struct_extract("v3", 'x'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'y')), len("v4"), list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), "v5", signbit("v5"))))::HUGEINT AS sum1, sum(hash(hash(7, signbit("v5"), "v5", list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), len("v4"), signbit(struct_extract("v3", 'y')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'x'), "v3" IS NULL, "v2", "k1", "v1", "k2")))::HUGEINT AS sum2 FROM (SELECT "the ""id""" AS k2, "it's" AS v1, "lsn" AS k1, "a b" AS v2, "p""t" AS v3, "tags" AS v4, "ratio" AS v5 FROM source) GROUP BY ALL;

CREATE TEMP TABLE temp."test_infra 1.4 sums of mirror" AS SELECT (hash("k2", "k1") >> 52)::INTEGER AS bucket, count(*) AS rows,
        sum(hash(hash("k2", "v1", "k1", "v2", "v3" IS NULL, struct_extract("v3", 'x'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'y')), len("v4"), list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), "v5", signbit("v5"))))::HUGEINT AS sum1, sum(hash(hash(7, signbit("v5"), "v5", list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), len("v4"), signbit(struct_extract("v3", 'y')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'x'), "v3" IS NULL, "v2", "k1", "v1", "k2")))::HUGEINT AS sum2 FROM (SELECT "the ""id""" AS k2, "it's" AS v1, "lsn" AS k1, "a b" AS v2, "p""t" AS v3, "tags" AS v4, "ratio" AS v5 FROM mirror) GROUP BY ALL;

CREATE TEMP TABLE temp."test_infra 1.5 unequal buckets of mirror" AS SELECT bucket FROM (SELECT bucket, rows, sum1, sum2 FROM temp."test_infra 1.3 sums of source" UNION ALL SELECT bucket, rows, sum1, sum2 FROM (SELECT (hash("k2", "k1") >> 52)::INTEGER AS bucket, count(*) AS rows,
        sum(hash(hash("k2", "v1", "k1", "v2", "v3" IS NULL, struct_extract("v3", 'x'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'y')), len("v4"), list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), "v5", signbit("v5"))))::HUGEINT AS sum1, sum(hash(hash(7, signbit("v5"), "v5", list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), len("v4"), signbit(struct_extract("v3", 'y')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'x'), "v3" IS NULL, "v2", "k1", "v1", "k2")))::HUGEINT AS sum2 FROM temp."test_infra 1.2 mirror rows of dirty keys" GROUP BY ALL) UNION ALL SELECT bucket, -rows AS rows, -sum1 AS sum1, -sum2 AS sum2 FROM temp."test_infra 1.4 sums of mirror" UNION ALL SELECT bucket, -rows AS rows, -sum1 AS sum1, -sum2 AS sum2 FROM (SELECT (hash("k2", "k1") >> 52)::INTEGER AS bucket, count(*) AS rows,
        sum(hash(hash("k2", "v1", "k1", "v2", "v3" IS NULL, struct_extract("v3", 'x'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'y')), len("v4"), list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), "v5", signbit("v5"))))::HUGEINT AS sum1, sum(hash(hash(7, signbit("v5"), "v5", list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), len("v4"), signbit(struct_extract("v3", 'y')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'x'), "v3" IS NULL, "v2", "k1", "v1", "k2")))::HUGEINT AS sum2 FROM temp."test_infra 1.1 source rows of dirty keys" GROUP BY ALL)) GROUP BY bucket
        HAVING sum(rows) <> 0 OR sum(sum1) <> 0 OR sum(sum2) <> 0;

SELECT count(*) FROM temp."test_infra 1.5 unequal buckets of mirror";

CREATE TEMP TABLE temp."test_infra 1.6 suspect source rows" AS SELECT * FROM (SELECT * FROM (SELECT "the ""id""" AS k2, "it's" AS v1, "lsn" AS k1, "a b" AS v2, "p""t" AS v3, "tags" AS v4, "ratio" AS v5 FROM source) WHERE (hash("k2", "k1") >> 52)::INTEGER IN (SELECT bucket FROM temp."test_infra 1.5 unequal buckets of mirror"))
ANTI JOIN temp."test_infra 1.0 dirty keys" USING (k1, k2);

CREATE TEMP TABLE temp."test_infra 1.7 suspect mirror rows" AS SELECT * FROM (SELECT * FROM (SELECT "the ""id""" AS k2, "it's" AS v1, "lsn" AS k1, "a b" AS v2, "p""t" AS v3, "tags" AS v4, "ratio" AS v5 FROM mirror) WHERE (hash("k2", "k1") >> 52)::INTEGER IN (SELECT bucket FROM temp."test_infra 1.5 unequal buckets of mirror"))
ANTI JOIN temp."test_infra 1.0 dirty keys" USING (k1, k2);

CREATE TEMP TABLE temp."test_infra 1.8 duplicate keys" AS SELECT k1, k2, count(*) AS rows FROM (
    SELECT k1, k2 FROM temp."test_infra 1.7 suspect mirror rows"
    UNION ALL SELECT k1, k2 FROM temp."test_infra 1.2 mirror rows of dirty keys"
) GROUP BY ALL HAVING count(*) > 1;

SELECT count(*) FROM temp."test_infra 1.8 duplicate keys";

SELECT k1::VARCHAR, k2::VARCHAR, rows FROM temp."test_infra 1.8 duplicate keys" ORDER BY k1, k2 LIMIT 50;

CREATE TEMP TABLE temp."test_infra 1.9 source with mirror" AS SELECT coalesce(l.k1, r.k1) AS k1, coalesce(l.k2, r.k2) AS k2, 
    CASE WHEN r.present IS NULL THEN 'MISSING' WHEN l.present IS NULL THEN 'EXTRA' ELSE 'VALUE' END AS verdict,
    CASE WHEN l.present AND r.present THEN list_filter([
        NULL::STRUCT(name VARCHAR, skipped BIGINT, expected VARCHAR, found VARCHAR)
        , CASE WHEN (l.v1 IS DISTINCT FROM r.v1) THEN {
            'name': 'it''s',
            'skipped': (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v1::VARCHAR, (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v1::VARCHAR, (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v2 IS DISTINCT FROM r.v2) THEN {
            'name': 'a b',
            'skipped': (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v2::VARCHAR, (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v2::VARCHAR, (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v3 IS DISTINCT FROM r.v3 OR (struct_extract(l.v3, 'x') = 0 AND signbit(struct_extract(l.v3, 'x'))) IS DISTINCT FROM (struct_extract(r.v3, 'x') = 0 AND signbit(struct_extract(r.v3, 'x'))) OR (struct_extract(l.v3, 'y') = 0 AND signbit(struct_extract(l.v3, 'y'))) IS DISTINCT FROM (struct_extract(r.v3, 'y') = 0 AND signbit(struct_extract(r.v3, 'y')))) THEN {
            'name': 'p"t',
            'skipped': (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v3::VARCHAR, (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v3::VARCHAR, (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v4 IS DISTINCT FROM r.v4 OR len(l.v4) IS DISTINCT FROM len(r.v4)) THEN {
            'name': 'tags',
            'skipped': (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v4::VARCHAR, (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v4::VARCHAR, (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v5 IS DISTINCT FROM r.v5 OR (l.v5 = 0 AND signbit(l.v5)) IS DISTINCT FROM (r.v5 = 0 AND signbit(r.v5))) THEN {
            'name': 'ratio',
            'skipped': (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v5::VARCHAR, (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v5::VARCHAR, (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
    ], lambda place: place IS NOT NULL) ELSE [{
        'name': '',
        'skipped': 0,
        'expected': CASE WHEN l.present THEN left({'the "id"': l.k2, 'it''s': l.v1, 'lsn': l.k1, 'a b': l.v2, 'p"t': l.v3, 'tags': l.v4, 'ratio': l.v5}::VARCHAR, 400) END,
        'found': CASE WHEN r.present THEN left({'the "id"': r.k2, 'it''s': r.v1, 'lsn': r.k1, 'a b': r.v2, 'p"t': r.v3, 'tags': r.v4, 'ratio': r.v5}::VARCHAR, 400) END
    }] END AS places
FROM (SELECT *, true AS present FROM temp."test_infra 1.6 suspect source rows") l
FULL JOIN (SELECT *, true AS present FROM (SELECT * FROM temp."test_infra 1.7 suspect mirror rows" QUALIFY row_number() OVER (PARTITION BY k1, k2) = 1)) r
ON l.k1 = r.k1 AND l.k2 = r.k2
WHERE l.present IS NULL OR r.present IS NULL
    OR (l.v1 IS DISTINCT FROM r.v1)
    OR (l.v2 IS DISTINCT FROM r.v2)
    OR (l.v3 IS DISTINCT FROM r.v3 OR (struct_extract(l.v3, 'x') = 0 AND signbit(struct_extract(l.v3, 'x'))) IS DISTINCT FROM (struct_extract(r.v3, 'x') = 0 AND signbit(struct_extract(r.v3, 'x'))) OR (struct_extract(l.v3, 'y') = 0 AND signbit(struct_extract(l.v3, 'y'))) IS DISTINCT FROM (struct_extract(r.v3, 'y') = 0 AND signbit(struct_extract(r.v3, 'y'))))
    OR (l.v4 IS DISTINCT FROM r.v4 OR len(l.v4) IS DISTINCT FROM len(r.v4))
    OR (l.v5 IS DISTINCT FROM r.v5 OR (l.v5 = 0 AND signbit(l.v5)) IS DISTINCT FROM (r.v5 = 0 AND signbit(r.v5)));

SELECT verdict, count(*) FROM temp."test_infra 1.9 source with mirror" GROUP BY ALL;

SELECT k1::VARCHAR, k2::VARCHAR, verdict, places FROM temp."test_infra 1.9 source with mirror" ORDER BY k1, k2 LIMIT 50;

CREATE TEMP TABLE temp."test_infra 1.10 keys with unchanged values" AS SELECT DISTINCT "key" FROM changes WHERE len(unchanged) > 0;

INSERT INTO temp."test_infra 1.10 keys with unchanged values" SELECT DISTINCT gone."key"
FROM changes new JOIN changes gone ON gone.lsn = new.lsn
    AND gone.op = 'd' AND new.op = 'c' AND gone."key" <> new."key"
WHERE len(new.unchanged) > 0 AND new."key" IN (SELECT "key" FROM temp."test_infra 1.10 keys with unchanged values")
    AND gone."key" NOT IN (SELECT "key" FROM temp."test_infra 1.10 keys with unchanged values");

CREATE TEMP TABLE temp."test_infra 1.11 events with unchanged values" AS SELECT struct_extract("key", 'lsn') AS k1, struct_extract("key", 'the "id"') AS k2, "key", op, lsn, snapshot, after, unchanged FROM changes
WHERE op NOT IN ('t', 'tombstone') AND "key" IN (SELECT "key" FROM temp."test_infra 1.10 keys with unchanged values")
QUALIFY row_number() OVER (PARTITION BY "key", lsn, op ORDER BY kafka_partition, kafka_offset) = 1;

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 1.11 events with unchanged values";

CREATE TEMP TABLE temp."test_infra 1.12 values_of_own_key" AS SELECT event, found FROM (
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
    } AS found FROM temp."test_infra 1.11 events with unchanged values"
    WINDOW before AS (PARTITION BY "key" ORDER BY NOT snapshot, lsn, op = 'd' DESC
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
) WHERE op <> 'c' AND len(unchanged) > 0;

SELECT count(*) FROM temp."test_infra 1.12 values_of_own_key";

UPDATE temp."test_infra 1.11 events with unchanged values" AS events SET after = {
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
FROM temp."test_infra 1.12 values_of_own_key" AS filled WHERE events.rowid = filled.event;

CREATE TEMP TABLE temp."test_infra 1.13 values_of_old_key" AS SELECT new.rowid AS event, {
    'it''s': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'it''s'), 'v': struct_extract(old.after, 'it''s')},
    'a b': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'a b'), 'v': struct_extract(old.after, 'a b')},
    'p"t': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'p"t'), 'v': struct_extract(old.after, 'p"t')},
    'tags': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'tags'), 'v': struct_extract(old.after, 'tags')},
    'ratio': {'has': NOT list_contains(coalesce(old.unchanged, []::VARCHAR[]), 'ratio'), 'v': struct_extract(old.after, 'ratio')}
} AS found
FROM temp."test_infra 1.11 events with unchanged values" new JOIN temp."test_infra 1.11 events with unchanged values" gone ON gone.lsn = new.lsn AND gone.op = 'd'
JOIN temp."test_infra 1.11 events with unchanged values" old ON old."key" = gone."key" AND old.op <> 'd' AND (old.snapshot OR old.lsn < new.lsn)
WHERE new.op = 'c' AND len(new.unchanged) > 0
QUALIFY row_number() OVER (PARTITION BY new.rowid ORDER BY old.snapshot, old.lsn DESC) = 1;

SELECT count(*) FROM temp."test_infra 1.13 values_of_old_key";

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 1.11 events with unchanged values";

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 1.11 events with unchanged values";

CREATE TEMP TABLE temp."test_infra 1.14 rows of the whole log" AS SELECT k2, struct_extract(after, 'it''s') AS v1, k1, struct_extract(after, 'a b') AS v2, struct_extract(after, 'p"t') AS v3, struct_extract(after, 'tags') AS v4, struct_extract(after, 'ratio') AS v5 FROM (
    SELECT * FROM (SELECT * FROM (
    SELECT struct_extract("key", 'lsn') AS k1, struct_extract("key", 'the "id"') AS k2, op, lsn, snapshot, after FROM changes
    WHERE op NOT IN ('t', 'tombstone')
        AND "key" NOT IN (SELECT "key" FROM temp."test_infra 1.10 keys with unchanged values")
    UNION ALL SELECT k1, k2, op, lsn, snapshot, after FROM temp."test_infra 1.11 events with unchanged values"
) ANTI JOIN temp."test_infra 1.0 dirty keys" USING (k1, k2))
    QUALIFY row_number() OVER (PARTITION BY k1, k2 ORDER BY snapshot, lsn DESC, op = 'd') = 1
) WHERE op <> 'd';

CREATE TEMP TABLE temp."test_infra 1.15 unequal buckets of log" AS SELECT bucket FROM (SELECT bucket, rows, sum1, sum2 FROM temp."test_infra 1.3 sums of source" UNION ALL SELECT bucket, -rows AS rows, -sum1 AS sum1, -sum2 AS sum2 FROM (SELECT (hash("k2", "k1") >> 52)::INTEGER AS bucket, count(*) AS rows,
        sum(hash(hash("k2", "v1", "k1", "v2", "v3" IS NULL, struct_extract("v3", 'x'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'y')), len("v4"), list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), "v5", signbit("v5"))))::HUGEINT AS sum1, sum(hash(hash(7, signbit("v5"), "v5", list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), len("v4"), signbit(struct_extract("v3", 'y')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'x'), "v3" IS NULL, "v2", "k1", "v1", "k2")))::HUGEINT AS sum2 FROM temp."test_infra 1.14 rows of the whole log" GROUP BY ALL) UNION ALL SELECT bucket, -rows AS rows, -sum1 AS sum1, -sum2 AS sum2 FROM (SELECT (hash("k2", "k1") >> 52)::INTEGER AS bucket, count(*) AS rows,
        sum(hash(hash("k2", "v1", "k1", "v2", "v3" IS NULL, struct_extract("v3", 'x'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'y')), len("v4"), list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), "v5", signbit("v5"))))::HUGEINT AS sum1, sum(hash(hash(7, signbit("v5"), "v5", list_sum(list_transform("v4", lambda one, place: hash(hash(one, place, 7)))), len("v4"), signbit(struct_extract("v3", 'y')), struct_extract("v3", 'y'), signbit(struct_extract("v3", 'x')), struct_extract("v3", 'x'), "v3" IS NULL, "v2", "k1", "v1", "k2")))::HUGEINT AS sum2 FROM temp."test_infra 1.1 source rows of dirty keys" GROUP BY ALL)) GROUP BY bucket
        HAVING sum(rows) <> 0 OR sum(sum1) <> 0 OR sum(sum2) <> 0;

SELECT count(*) FROM temp."test_infra 1.15 unequal buckets of log";

CREATE TEMP TABLE temp."test_infra 1.16 suspect source rows" AS SELECT * FROM (SELECT * FROM (SELECT "the ""id""" AS k2, "it's" AS v1, "lsn" AS k1, "a b" AS v2, "p""t" AS v3, "tags" AS v4, "ratio" AS v5 FROM source) WHERE (hash("k2", "k1") >> 52)::INTEGER IN (SELECT bucket FROM temp."test_infra 1.15 unequal buckets of log"))
ANTI JOIN temp."test_infra 1.0 dirty keys" USING (k1, k2);

CREATE TEMP TABLE temp."test_infra 1.17 suspect log rows" AS SELECT * FROM (SELECT * FROM temp."test_infra 1.14 rows of the whole log" WHERE (hash("k2", "k1") >> 52)::INTEGER IN (SELECT bucket FROM temp."test_infra 1.15 unequal buckets of log"))
ANTI JOIN temp."test_infra 1.0 dirty keys" USING (k1, k2);

CREATE TEMP TABLE temp."test_infra 1.18 source with change log" AS SELECT coalesce(l.k1, r.k1) AS k1, coalesce(l.k2, r.k2) AS k2, 
    CASE WHEN r.present IS NULL THEN 'MISSING' WHEN l.present IS NULL THEN 'EXTRA' ELSE 'VALUE' END AS verdict,
    CASE WHEN l.present AND r.present THEN list_filter([
        NULL::STRUCT(name VARCHAR, skipped BIGINT, expected VARCHAR, found VARCHAR)
        , CASE WHEN (l.v1 IS DISTINCT FROM r.v1) THEN {
            'name': 'it''s',
            'skipped': (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v1::VARCHAR, (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v1::VARCHAR, (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v2 IS DISTINCT FROM r.v2) THEN {
            'name': 'a b',
            'skipped': (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v2::VARCHAR, (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v2::VARCHAR, (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v3 IS DISTINCT FROM r.v3 OR (struct_extract(l.v3, 'x') = 0 AND signbit(struct_extract(l.v3, 'x'))) IS DISTINCT FROM (struct_extract(r.v3, 'x') = 0 AND signbit(struct_extract(r.v3, 'x'))) OR (struct_extract(l.v3, 'y') = 0 AND signbit(struct_extract(l.v3, 'y'))) IS DISTINCT FROM (struct_extract(r.v3, 'y') = 0 AND signbit(struct_extract(r.v3, 'y')))) THEN {
            'name': 'p"t',
            'skipped': (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v3::VARCHAR, (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v3::VARCHAR, (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v4 IS DISTINCT FROM r.v4 OR len(l.v4) IS DISTINCT FROM len(r.v4)) THEN {
            'name': 'tags',
            'skipped': (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v4::VARCHAR, (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v4::VARCHAR, (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v5 IS DISTINCT FROM r.v5 OR (l.v5 = 0 AND signbit(l.v5)) IS DISTINCT FROM (r.v5 = 0 AND signbit(r.v5))) THEN {
            'name': 'ratio',
            'skipped': (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v5::VARCHAR, (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v5::VARCHAR, (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
    ], lambda place: place IS NOT NULL) ELSE [{
        'name': '',
        'skipped': 0,
        'expected': CASE WHEN l.present THEN left({'the "id"': l.k2, 'it''s': l.v1, 'lsn': l.k1, 'a b': l.v2, 'p"t': l.v3, 'tags': l.v4, 'ratio': l.v5}::VARCHAR, 400) END,
        'found': CASE WHEN r.present THEN left({'the "id"': r.k2, 'it''s': r.v1, 'lsn': r.k1, 'a b': r.v2, 'p"t': r.v3, 'tags': r.v4, 'ratio': r.v5}::VARCHAR, 400) END
    }] END AS places
FROM (SELECT *, true AS present FROM (FROM temp."test_infra 1.16 suspect source rows" ANTI JOIN temp."test_infra 1.9 source with mirror" USING (k1, k2))) l
FULL JOIN (SELECT *, true AS present FROM (FROM temp."test_infra 1.17 suspect log rows" ANTI JOIN temp."test_infra 1.9 source with mirror" USING (k1, k2))) r
ON l.k1 = r.k1 AND l.k2 = r.k2
WHERE l.present IS NULL OR r.present IS NULL
    OR (l.v1 IS DISTINCT FROM r.v1)
    OR (l.v2 IS DISTINCT FROM r.v2)
    OR (l.v3 IS DISTINCT FROM r.v3 OR (struct_extract(l.v3, 'x') = 0 AND signbit(struct_extract(l.v3, 'x'))) IS DISTINCT FROM (struct_extract(r.v3, 'x') = 0 AND signbit(struct_extract(r.v3, 'x'))) OR (struct_extract(l.v3, 'y') = 0 AND signbit(struct_extract(l.v3, 'y'))) IS DISTINCT FROM (struct_extract(r.v3, 'y') = 0 AND signbit(struct_extract(r.v3, 'y'))))
    OR (l.v4 IS DISTINCT FROM r.v4 OR len(l.v4) IS DISTINCT FROM len(r.v4))
    OR (l.v5 IS DISTINCT FROM r.v5 OR (l.v5 = 0 AND signbit(l.v5)) IS DISTINCT FROM (r.v5 = 0 AND signbit(r.v5)));

SELECT verdict, count(*) FROM temp."test_infra 1.18 source with change log" GROUP BY ALL;

SELECT k1::VARCHAR, k2::VARCHAR, verdict, places FROM temp."test_infra 1.18 source with change log" ORDER BY k1, k2 LIMIT 50;

SELECT count(*) FROM temp."test_infra 1.14 rows of the whole log";

CREATE TEMP TABLE temp."test_infra 1.19 dirty and former keys as structs" AS SELECT {'lsn': k1, 'the "id"': k2} AS "key"
FROM temp."test_infra 1.0 dirty keys";

INSERT INTO temp."test_infra 1.19 dirty and former keys as structs" SELECT DISTINCT gone."key"
FROM changes new JOIN changes gone ON gone.lsn = new.lsn
    AND gone.op = 'd' AND new.op = 'c' AND gone."key" <> new."key"
WHERE len(new.unchanged) > 0 AND new."key" IN (SELECT "key" FROM temp."test_infra 1.19 dirty and former keys as structs")
    AND gone."key" NOT IN (SELECT "key" FROM temp."test_infra 1.19 dirty and former keys as structs");

CREATE TEMP TABLE temp."test_infra 1.20 dirty and former keys" AS SELECT struct_extract("key", 'lsn') AS k1, struct_extract("key", 'the "id"') AS k2 FROM temp."test_infra 1.19 dirty and former keys as structs";

CREATE TEMP TABLE temp."test_infra 1.21 events of dirty and former keys" AS SELECT k1, k2, "key", op, lsn, snapshot, visible, after, unchanged FROM (
    SELECT struct_extract("key", 'lsn') AS k1, struct_extract("key", 'the "id"') AS k2, "key", op, lsn, snapshot, (op = 'r' OR (tx_id < 1000)) AS visible, after, unchanged,
        kafka_partition, kafka_offset
    FROM changes WHERE op NOT IN ('t', 'tombstone')
) SEMI JOIN temp."test_infra 1.20 dirty and former keys" USING (k1, k2)
QUALIFY row_number() OVER (PARTITION BY k1, k2, lsn, op ORDER BY kafka_partition, kafka_offset) = 1;

SELECT coalesce(sum(len(unchanged)), 0) FROM temp."test_infra 1.21 events of dirty and former keys";

CREATE TEMP TABLE temp."test_infra 1.22 events of dirty keys" AS SELECT * FROM temp."test_infra 1.21 events of dirty and former keys" SEMI JOIN temp."test_infra 1.0 dirty keys" USING (k1, k2);

CREATE TEMP TABLE temp."test_infra 1.23 keys without base" AS SELECT k1, k2, min_by(op, row(NOT snapshot, lsn, op <> 'd')) AS op FROM temp."test_infra 1.22 events of dirty keys" GROUP BY k1, k2
HAVING (NOT bool_or(visible) AND min_by(op, row(NOT snapshot, lsn, op <> 'd')) IN ('u', 'd')) OR bool_or(len(unchanged) > 0);

SELECT count(*) FROM temp."test_infra 1.23 keys without base";

CREATE TEMP TABLE temp."test_infra 1.24 keys out of order" AS SELECT * FROM (
    SELECT k1, k2, min(lsn) FILTER (NOT visible) AS first_invisible,
        greatest(max(lsn) FILTER (visible AND NOT snapshot)) AS last_visible
    FROM temp."test_infra 1.22 events of dirty keys" GROUP BY k1, k2
) WHERE last_visible > first_invisible;

SELECT count(*) FROM temp."test_infra 1.24 keys out of order";

SELECT k1::VARCHAR, k2::VARCHAR, first_invisible, last_visible FROM temp."test_infra 1.24 keys out of order" ORDER BY k1, k2 LIMIT 50;

CREATE TEMP TABLE temp."test_infra 1.25 source with change log" AS SELECT coalesce(l.k1, r.k1) AS k1, coalesce(l.k2, r.k2) AS k2, 
    CASE WHEN r.present IS NULL THEN 'MISSING' WHEN l.present IS NULL THEN 'EXTRA' ELSE 'VALUE' END AS verdict,
    CASE WHEN l.present AND r.present THEN list_filter([
        NULL::STRUCT(name VARCHAR, skipped BIGINT, expected VARCHAR, found VARCHAR)
        , CASE WHEN (l.v1 IS DISTINCT FROM r.v1) THEN {
            'name': 'it''s',
            'skipped': (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v1::VARCHAR, (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v1::VARCHAR, (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v2 IS DISTINCT FROM r.v2) THEN {
            'name': 'a b',
            'skipped': (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v2::VARCHAR, (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v2::VARCHAR, (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v3 IS DISTINCT FROM r.v3 OR (struct_extract(l.v3, 'x') = 0 AND signbit(struct_extract(l.v3, 'x'))) IS DISTINCT FROM (struct_extract(r.v3, 'x') = 0 AND signbit(struct_extract(r.v3, 'x'))) OR (struct_extract(l.v3, 'y') = 0 AND signbit(struct_extract(l.v3, 'y'))) IS DISTINCT FROM (struct_extract(r.v3, 'y') = 0 AND signbit(struct_extract(r.v3, 'y')))) THEN {
            'name': 'p"t',
            'skipped': (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v3::VARCHAR, (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v3::VARCHAR, (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v4 IS DISTINCT FROM r.v4 OR len(l.v4) IS DISTINCT FROM len(r.v4)) THEN {
            'name': 'tags',
            'skipped': (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v4::VARCHAR, (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v4::VARCHAR, (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v5 IS DISTINCT FROM r.v5 OR (l.v5 = 0 AND signbit(l.v5)) IS DISTINCT FROM (r.v5 = 0 AND signbit(r.v5))) THEN {
            'name': 'ratio',
            'skipped': (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v5::VARCHAR, (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v5::VARCHAR, (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
    ], lambda place: place IS NOT NULL) ELSE [{
        'name': '',
        'skipped': 0,
        'expected': CASE WHEN l.present THEN left({'the "id"': l.k2, 'it''s': l.v1, 'lsn': l.k1, 'a b': l.v2, 'p"t': l.v3, 'tags': l.v4, 'ratio': l.v5}::VARCHAR, 400) END,
        'found': CASE WHEN r.present THEN left({'the "id"': r.k2, 'it''s': r.v1, 'lsn': r.k1, 'a b': r.v2, 'p"t': r.v3, 'tags': r.v4, 'ratio': r.v5}::VARCHAR, 400) END
    }] END AS places
FROM (SELECT *, true AS present FROM (FROM temp."test_infra 1.1 source rows of dirty keys" ANTI JOIN temp."test_infra 1.23 keys without base" USING (k1, k2))) l
FULL JOIN (SELECT *, true AS present FROM (FROM (SELECT k2, struct_extract(after, 'it''s') AS v1, k1, struct_extract(after, 'a b') AS v2, struct_extract(after, 'p"t') AS v3, struct_extract(after, 'tags') AS v4, struct_extract(after, 'ratio') AS v5 FROM (
    SELECT * FROM (SELECT * FROM temp."test_infra 1.22 events of dirty keys" WHERE visible)
    QUALIFY row_number() OVER (PARTITION BY k1, k2 ORDER BY snapshot, lsn DESC, op = 'd') = 1
) WHERE op <> 'd') ANTI JOIN temp."test_infra 1.23 keys without base" USING (k1, k2))) r
ON l.k1 = r.k1 AND l.k2 = r.k2
WHERE l.present IS NULL OR r.present IS NULL
    OR (l.v1 IS DISTINCT FROM r.v1)
    OR (l.v2 IS DISTINCT FROM r.v2)
    OR (l.v3 IS DISTINCT FROM r.v3 OR (struct_extract(l.v3, 'x') = 0 AND signbit(struct_extract(l.v3, 'x'))) IS DISTINCT FROM (struct_extract(r.v3, 'x') = 0 AND signbit(struct_extract(r.v3, 'x'))) OR (struct_extract(l.v3, 'y') = 0 AND signbit(struct_extract(l.v3, 'y'))) IS DISTINCT FROM (struct_extract(r.v3, 'y') = 0 AND signbit(struct_extract(r.v3, 'y'))))
    OR (l.v4 IS DISTINCT FROM r.v4 OR len(l.v4) IS DISTINCT FROM len(r.v4))
    OR (l.v5 IS DISTINCT FROM r.v5 OR (l.v5 = 0 AND signbit(l.v5)) IS DISTINCT FROM (r.v5 = 0 AND signbit(r.v5)));

SELECT verdict, count(*) FROM temp."test_infra 1.25 source with change log" GROUP BY ALL;

SELECT k1::VARCHAR, k2::VARCHAR, verdict, places FROM temp."test_infra 1.25 source with change log" ORDER BY k1, k2 LIMIT 50;

CREATE TEMP TABLE temp."test_infra 1.26 change log with mirror" AS SELECT coalesce(l.k1, r.k1) AS k1, coalesce(l.k2, r.k2) AS k2, 
    CASE WHEN r.present IS NULL THEN 'MISSING' WHEN l.present IS NULL THEN 'EXTRA' ELSE 'VALUE' END AS verdict,
    CASE WHEN l.present AND r.present THEN list_filter([
        NULL::STRUCT(name VARCHAR, skipped BIGINT, expected VARCHAR, found VARCHAR)
        , CASE WHEN (l.v1 IS DISTINCT FROM r.v1) THEN {
            'name': 'it''s',
            'skipped': (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v1::VARCHAR, (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v1::VARCHAR, (CASE WHEN left(l.v1::VARCHAR, 400) IS DISTINCT FROM left(r.v1::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v1::VARCHAR), length(r.v1::VARCHAR)), 400),
                lambda begins: substr(l.v1::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v1::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v2 IS DISTINCT FROM r.v2) THEN {
            'name': 'a b',
            'skipped': (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v2::VARCHAR, (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v2::VARCHAR, (CASE WHEN left(l.v2::VARCHAR, 400) IS DISTINCT FROM left(r.v2::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v2::VARCHAR), length(r.v2::VARCHAR)), 400),
                lambda begins: substr(l.v2::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v2::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v3 IS DISTINCT FROM r.v3 OR (struct_extract(l.v3, 'x') = 0 AND signbit(struct_extract(l.v3, 'x'))) IS DISTINCT FROM (struct_extract(r.v3, 'x') = 0 AND signbit(struct_extract(r.v3, 'x'))) OR (struct_extract(l.v3, 'y') = 0 AND signbit(struct_extract(l.v3, 'y'))) IS DISTINCT FROM (struct_extract(r.v3, 'y') = 0 AND signbit(struct_extract(r.v3, 'y')))) THEN {
            'name': 'p"t',
            'skipped': (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v3::VARCHAR, (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v3::VARCHAR, (CASE WHEN left(l.v3::VARCHAR, 400) IS DISTINCT FROM left(r.v3::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v3::VARCHAR), length(r.v3::VARCHAR)), 400),
                lambda begins: substr(l.v3::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v3::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v4 IS DISTINCT FROM r.v4 OR len(l.v4) IS DISTINCT FROM len(r.v4)) THEN {
            'name': 'tags',
            'skipped': (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v4::VARCHAR, (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v4::VARCHAR, (CASE WHEN left(l.v4::VARCHAR, 400) IS DISTINCT FROM left(r.v4::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v4::VARCHAR), length(r.v4::VARCHAR)), 400),
                lambda begins: substr(l.v4::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v4::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
        , CASE WHEN (l.v5 IS DISTINCT FROM r.v5 OR (l.v5 = 0 AND signbit(l.v5)) IS DISTINCT FROM (r.v5 = 0 AND signbit(r.v5))) THEN {
            'name': 'ratio',
            'skipped': (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END),
            'expected': substr(l.v5::VARCHAR, (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400),
            'found': substr(r.v5::VARCHAR, (CASE WHEN left(l.v5::VARCHAR, 400) IS DISTINCT FROM left(r.v5::VARCHAR, 400) THEN 0
            ELSE coalesce(list_filter(
                range(400, greatest(length(l.v5::VARCHAR), length(r.v5::VARCHAR)), 400),
                lambda begins: substr(l.v5::VARCHAR, begins + 1, 400)
                    IS DISTINCT FROM substr(r.v5::VARCHAR, begins + 1, 400))[1], 0) END) + 1, 400)
        } END
    ], lambda place: place IS NOT NULL) ELSE [{
        'name': '',
        'skipped': 0,
        'expected': CASE WHEN l.present THEN left({'the "id"': l.k2, 'it''s': l.v1, 'lsn': l.k1, 'a b': l.v2, 'p"t': l.v3, 'tags': l.v4, 'ratio': l.v5}::VARCHAR, 400) END,
        'found': CASE WHEN r.present THEN left({'the "id"': r.k2, 'it''s': r.v1, 'lsn': r.k1, 'a b': r.v2, 'p"t': r.v3, 'tags': r.v4, 'ratio': r.v5}::VARCHAR, 400) END
    }] END AS places
FROM (SELECT *, true AS present FROM (SELECT k2, struct_extract(after, 'it''s') AS v1, k1, struct_extract(after, 'a b') AS v2, struct_extract(after, 'p"t') AS v3, struct_extract(after, 'tags') AS v4, struct_extract(after, 'ratio') AS v5 FROM (
    SELECT * FROM temp."test_infra 1.22 events of dirty keys"
    QUALIFY row_number() OVER (PARTITION BY k1, k2 ORDER BY snapshot, lsn DESC, op = 'd') = 1
) WHERE op <> 'd')) l
FULL JOIN (SELECT *, true AS present FROM (SELECT * FROM temp."test_infra 1.2 mirror rows of dirty keys" QUALIFY row_number() OVER (PARTITION BY k1, k2) = 1)) r
ON l.k1 = r.k1 AND l.k2 = r.k2
WHERE l.present IS NULL OR r.present IS NULL
    OR (l.v1 IS DISTINCT FROM r.v1)
    OR (l.v2 IS DISTINCT FROM r.v2)
    OR (l.v3 IS DISTINCT FROM r.v3 OR (struct_extract(l.v3, 'x') = 0 AND signbit(struct_extract(l.v3, 'x'))) IS DISTINCT FROM (struct_extract(r.v3, 'x') = 0 AND signbit(struct_extract(r.v3, 'x'))) OR (struct_extract(l.v3, 'y') = 0 AND signbit(struct_extract(l.v3, 'y'))) IS DISTINCT FROM (struct_extract(r.v3, 'y') = 0 AND signbit(struct_extract(r.v3, 'y'))))
    OR (l.v4 IS DISTINCT FROM r.v4 OR len(l.v4) IS DISTINCT FROM len(r.v4))
    OR (l.v5 IS DISTINCT FROM r.v5 OR (l.v5 = 0 AND signbit(l.v5)) IS DISTINCT FROM (r.v5 = 0 AND signbit(r.v5)));

SELECT verdict, count(*) FROM temp."test_infra 1.26 change log with mirror" GROUP BY ALL;

SELECT k1::VARCHAR, k2::VARCHAR, verdict, places FROM temp."test_infra 1.26 change log with mirror" ORDER BY k1, k2 LIMIT 50;

CREATE TEMP TABLE temp."test_infra 1.27 broken chains" AS SELECT k1, k2, lsn, previous_lsn FROM (
    SELECT *, lag(after) OVER chain AS previous, lag(op) OVER chain AS previous_op,
        lag(lsn) OVER chain AS previous_lsn, lag(incomplete) OVER chain AS previous_incomplete
    FROM (
        SELECT struct_extract("key", 'lsn') AS k1, struct_extract("key", 'the "id"') AS k2, op, lsn, snapshot, hash(hash(before IS NULL, struct_extract(before, 'the "id"'), struct_extract(before, 'it''s'), struct_extract(before, 'lsn'), struct_extract(before, 'a b'), struct_extract(before, 'p"t') IS NULL, struct_extract(struct_extract(before, 'p"t'), 'x'), signbit(struct_extract(struct_extract(before, 'p"t'), 'x')), struct_extract(struct_extract(before, 'p"t'), 'y'), signbit(struct_extract(struct_extract(before, 'p"t'), 'y')), len(struct_extract(before, 'tags')), list_sum(list_transform(struct_extract(before, 'tags'), lambda one, place: hash(hash(one, place, 7)))), struct_extract(before, 'ratio'), signbit(struct_extract(before, 'ratio')))) AS before, hash(hash(after IS NULL, struct_extract(after, 'the "id"'), struct_extract(after, 'it''s'), struct_extract(after, 'lsn'), struct_extract(after, 'a b'), struct_extract(after, 'p"t') IS NULL, struct_extract(struct_extract(after, 'p"t'), 'x'), signbit(struct_extract(struct_extract(after, 'p"t'), 'x')), struct_extract(struct_extract(after, 'p"t'), 'y'), signbit(struct_extract(struct_extract(after, 'p"t'), 'y')), len(struct_extract(after, 'tags')), list_sum(list_transform(struct_extract(after, 'tags'), lambda one, place: hash(hash(one, place, 7)))), struct_extract(after, 'ratio'), signbit(struct_extract(after, 'ratio')))) AS after,
            len(unchanged) > 0 AS incomplete
        FROM changes
        WHERE op NOT IN ('t', 'tombstone')
        QUALIFY row_number() OVER (PARTITION BY "key", lsn, op ORDER BY kafka_partition, kafka_offset) = 1
    ) WINDOW chain AS (PARTITION BY k1, k2 ORDER BY NOT snapshot, lsn, op <> 'd')
) WHERE op IN ('u', 'd') AND previous_op IS NOT NULL AND before IS DISTINCT FROM previous
    -- Where the identity was not FULL then, the event before did not have the whole row.
    AND NOT coalesce(previous_incomplete, false);

SELECT count(*) FROM temp."test_infra 1.27 broken chains";

SELECT k1::VARCHAR, k2::VARCHAR, lsn,
    left(any_value(before)::VARCHAR, 400), left(any_value(after)::VARCHAR, 400)
FROM (FROM temp."test_infra 1.27 broken chains" ORDER BY ALL LIMIT 50)
JOIN (SELECT struct_extract("key", 'lsn') AS k1, struct_extract("key", 'the "id"') AS k2, lsn, before FROM changes) USING (k1, k2, lsn)
JOIN (SELECT struct_extract("key", 'lsn') AS k1, struct_extract("key", 'the "id"') AS k2, lsn AS previous_lsn, after FROM changes) USING (k1, k2, previous_lsn)
GROUP BY k1, k2, lsn ORDER BY k1, k2, lsn LIMIT 50;

SELECT coalesce(sum(rows), 0) FROM temp."test_infra 1.3 sums of source";

SELECT coalesce(sum(rows), 0) FROM temp."test_infra 1.4 sums of mirror";

SELECT count(*) FROM temp."test_infra 1.1 source rows of dirty keys";

DROP TABLE IF EXISTS temp."test_infra 1.0 dirty keys";

DROP TABLE IF EXISTS temp."test_infra 1.1 source rows of dirty keys";

DROP TABLE IF EXISTS temp."test_infra 1.2 mirror rows of dirty keys";

DROP TABLE IF EXISTS temp."test_infra 1.3 sums of source";

DROP TABLE IF EXISTS temp."test_infra 1.4 sums of mirror";

DROP TABLE IF EXISTS temp."test_infra 1.5 unequal buckets of mirror";

DROP TABLE IF EXISTS temp."test_infra 1.6 suspect source rows";

DROP TABLE IF EXISTS temp."test_infra 1.7 suspect mirror rows";

DROP TABLE IF EXISTS temp."test_infra 1.8 duplicate keys";

DROP TABLE IF EXISTS temp."test_infra 1.9 source with mirror";

DROP TABLE IF EXISTS temp."test_infra 1.10 keys with unchanged values";

DROP TABLE IF EXISTS temp."test_infra 1.11 events with unchanged values";

DROP TABLE IF EXISTS temp."test_infra 1.12 values_of_own_key";

DROP TABLE IF EXISTS temp."test_infra 1.13 values_of_old_key";

DROP TABLE IF EXISTS temp."test_infra 1.14 rows of the whole log";

DROP TABLE IF EXISTS temp."test_infra 1.15 unequal buckets of log";

DROP TABLE IF EXISTS temp."test_infra 1.16 suspect source rows";

DROP TABLE IF EXISTS temp."test_infra 1.17 suspect log rows";

DROP TABLE IF EXISTS temp."test_infra 1.18 source with change log";

DROP TABLE IF EXISTS temp."test_infra 1.19 dirty and former keys as structs";

DROP TABLE IF EXISTS temp."test_infra 1.20 dirty and former keys";

DROP TABLE IF EXISTS temp."test_infra 1.21 events of dirty and former keys";

DROP TABLE IF EXISTS temp."test_infra 1.22 events of dirty keys";

DROP TABLE IF EXISTS temp."test_infra 1.23 keys without base";

DROP TABLE IF EXISTS temp."test_infra 1.24 keys out of order";

DROP TABLE IF EXISTS temp."test_infra 1.25 source with change log";

DROP TABLE IF EXISTS temp."test_infra 1.26 change log with mirror";

DROP TABLE IF EXISTS temp."test_infra 1.27 broken chains";
