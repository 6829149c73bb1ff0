DESCRIBE SELECT * FROM mirror;

SELECT count(*),
    count(*) FILTER (op <> 'r' AND tx_id IS NULL),
    max(lsn) FILTER (op = 'r'),
    max(lsn) FILTER (op = 't'),
    max(lsn) FILTER (op = 't' AND (tx_id < 1000)),
    count(*) FILTER (op = 't' AND NOT (tx_id < 1000)),
    count(*) FILTER (len(unchanged) > 0)
FROM changes WHERE op <> 'tombstone';

CREATE TEMP TABLE temp."test_infra 1.0 inserts" AS SELECT struct_extract(after, 'the "id"') AS v1, struct_extract(after, 'it''s') AS v2, struct_extract(after, 'lsn') AS v3, struct_extract(after, 'a b') AS v4, struct_extract(after, 'p"t') AS v5, struct_extract(after, 'tags') AS v6, struct_extract(after, 'ratio') AS v7, lsn, snapshot, (op = 'r' OR (tx_id < 1000)) AS visible FROM changes
WHERE op IN ('c', 'r') AND NOT (op = 'r' AND lsn < 10)
QUALIFY row_number() OVER (PARTITION BY "key" ORDER BY kafka_partition, kafka_offset) = 1;

CREATE TEMP TABLE temp."test_infra 1.1 unequal counts, source with change log" AS SELECT hash1, hash2, coalesce(l.rows, 0) AS expected, coalesce(r.rows, 0) AS found FROM (
    SELECT hash(hash("v1", "v2", "v3", "v4", "v5" IS NULL, struct_extract("v5", 'x'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'y')), len("v6"), list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), "v7", signbit("v7"))) AS hash1, hash(hash(7, signbit("v7"), "v7", list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), len("v6"), signbit(struct_extract("v5", 'y')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'x'), "v5" IS NULL, "v4", "v3", "v2", "v1")) AS hash2, count(*) AS rows FROM (SELECT "the ""id""" AS v1, "it's" AS v2, "lsn" AS v3, "a b" AS v4, "p""t" AS v5, "tags" AS v6, "ratio" AS v7 FROM source) GROUP BY ALL
) l FULL JOIN (
    SELECT hash(hash("v1", "v2", "v3", "v4", "v5" IS NULL, struct_extract("v5", 'x'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'y')), len("v6"), list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), "v7", signbit("v7"))) AS hash1, hash(hash(7, signbit("v7"), "v7", list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), len("v6"), signbit(struct_extract("v5", 'y')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'x'), "v5" IS NULL, "v4", "v3", "v2", "v1")) AS hash2, count(*) AS rows FROM (SELECT v1, v2, v3, v4, v5, v6, v7 FROM temp."test_infra 1.0 inserts" WHERE visible) GROUP BY ALL
) r USING (hash1, hash2)
WHERE l.rows IS DISTINCT FROM r.rows;

SELECT coalesce(sum(expected - found) FILTER (expected > found), 0)::BIGINT,
            coalesce(sum(found) FILTER (expected = 0), 0)::BIGINT,
            coalesce(sum(found - expected) FILTER (expected BETWEEN 1 AND found), 0)::BIGINT FROM temp."test_infra 1.1 unequal counts, source with change log";

SELECT u.expected, u.found, any_value(left({'the "id"': row.v1, 'it''s': row.v2, 'lsn': row.v3, 'a b': row.v4, 'p"t': row.v5, 'tags': row.v6, 'ratio': row.v7}::VARCHAR, 400)) AS shown
FROM (FROM temp."test_infra 1.1 unequal counts, source with change log" ORDER BY hash1, hash2 LIMIT 50) u
JOIN (
    SELECT *, hash(hash("v1", "v2", "v3", "v4", "v5" IS NULL, struct_extract("v5", 'x'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'y')), len("v6"), list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), "v7", signbit("v7"))) AS hash1, hash(hash(7, signbit("v7"), "v7", list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), len("v6"), signbit(struct_extract("v5", 'y')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'x'), "v5" IS NULL, "v4", "v3", "v2", "v1")) AS hash2 FROM (SELECT "the ""id""" AS v1, "it's" AS v2, "lsn" AS v3, "a b" AS v4, "p""t" AS v5, "tags" AS v6, "ratio" AS v7 FROM source)
    UNION ALL SELECT *, hash(hash("v1", "v2", "v3", "v4", "v5" IS NULL, struct_extract("v5", 'x'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'y')), len("v6"), list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), "v7", signbit("v7"))) AS hash1, hash(hash(7, signbit("v7"), "v7", list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), len("v6"), signbit(struct_extract("v5", 'y')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'x'), "v5" IS NULL, "v4", "v3", "v2", "v1")) AS hash2 FROM (SELECT v1, v2, v3, v4, v5, v6, v7 FROM temp."test_infra 1.0 inserts" WHERE visible)
) row USING (hash1, hash2)
GROUP BY hash1, hash2, u.expected, u.found ORDER BY shown;

CREATE TEMP TABLE temp."test_infra 1.2 unequal counts, change log with mirror" AS SELECT hash1, hash2, coalesce(l.rows, 0) AS expected, coalesce(r.rows, 0) AS found FROM (
    SELECT hash(hash("v1", "v2", "v3", "v4", "v5" IS NULL, struct_extract("v5", 'x'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'y')), len("v6"), list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), "v7", signbit("v7"))) AS hash1, hash(hash(7, signbit("v7"), "v7", list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), len("v6"), signbit(struct_extract("v5", 'y')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'x'), "v5" IS NULL, "v4", "v3", "v2", "v1")) AS hash2, count(*) AS rows FROM (SELECT v1, v2, v3, v4, v5, v6, v7 FROM temp."test_infra 1.0 inserts" WHERE true AND NOT snapshot AND lsn > 30) GROUP BY ALL
) l FULL JOIN (
    SELECT hash(hash("v1", "v2", "v3", "v4", "v5" IS NULL, struct_extract("v5", 'x'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'y')), len("v6"), list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), "v7", signbit("v7"))) AS hash1, hash(hash(7, signbit("v7"), "v7", list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), len("v6"), signbit(struct_extract("v5", 'y')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'x'), "v5" IS NULL, "v4", "v3", "v2", "v1")) AS hash2, count(*) AS rows FROM (SELECT "the ""id""" AS v1, "it's" AS v2, "lsn" AS v3, "a b" AS v4, "p""t" AS v5, "tags" AS v6, "ratio" AS v7 FROM mirror) GROUP BY ALL
) r USING (hash1, hash2)
WHERE l.rows IS DISTINCT FROM r.rows;

SELECT coalesce(sum(expected - found) FILTER (expected > found), 0)::BIGINT,
            coalesce(sum(found) FILTER (expected = 0), 0)::BIGINT,
            coalesce(sum(found - expected) FILTER (expected BETWEEN 1 AND found), 0)::BIGINT FROM temp."test_infra 1.2 unequal counts, change log with mirror";

SELECT u.expected, u.found, any_value(left({'the "id"': row.v1, 'it''s': row.v2, 'lsn': row.v3, 'a b': row.v4, 'p"t': row.v5, 'tags': row.v6, 'ratio': row.v7}::VARCHAR, 400)) AS shown
FROM (FROM temp."test_infra 1.2 unequal counts, change log with mirror" ORDER BY hash1, hash2 LIMIT 50) u
JOIN (
    SELECT *, hash(hash("v1", "v2", "v3", "v4", "v5" IS NULL, struct_extract("v5", 'x'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'y')), len("v6"), list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), "v7", signbit("v7"))) AS hash1, hash(hash(7, signbit("v7"), "v7", list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), len("v6"), signbit(struct_extract("v5", 'y')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'x'), "v5" IS NULL, "v4", "v3", "v2", "v1")) AS hash2 FROM (SELECT v1, v2, v3, v4, v5, v6, v7 FROM temp."test_infra 1.0 inserts" WHERE true AND NOT snapshot AND lsn > 30)
    UNION ALL SELECT *, hash(hash("v1", "v2", "v3", "v4", "v5" IS NULL, struct_extract("v5", 'x'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'y')), len("v6"), list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), "v7", signbit("v7"))) AS hash1, hash(hash(7, signbit("v7"), "v7", list_sum(list_transform("v6", lambda one, place: hash(hash(one, place, 7)))), len("v6"), signbit(struct_extract("v5", 'y')), struct_extract("v5", 'y'), signbit(struct_extract("v5", 'x')), struct_extract("v5", 'x'), "v5" IS NULL, "v4", "v3", "v2", "v1")) AS hash2 FROM (SELECT "the ""id""" AS v1, "it's" AS v2, "lsn" AS v3, "a b" AS v4, "p""t" AS v5, "tags" AS v6, "ratio" AS v7 FROM mirror)
) row USING (hash1, hash2)
GROUP BY hash1, hash2, u.expected, u.found ORDER BY shown;

CREATE TEMP TABLE temp."test_infra 1.3 identities that are there twice" AS SELECT "_row_tx_id", "_row_number", count(*) AS rows FROM mirror GROUP BY ALL HAVING count(*) > 1;

SELECT count(*) FROM temp."test_infra 1.3 identities that are there twice";

SELECT count(*) FROM source;

SELECT count(*) FROM mirror;

SELECT count(*) FROM temp."test_infra 1.0 inserts" WHERE NOT visible;

SELECT count(*) FROM temp."test_infra 1.0 inserts";

DROP TABLE IF EXISTS temp."test_infra 1.0 inserts";

DROP TABLE IF EXISTS temp."test_infra 1.1 unequal counts, source with change log";

DROP TABLE IF EXISTS temp."test_infra 1.2 unequal counts, change log with mirror";

DROP TABLE IF EXISTS temp."test_infra 1.3 identities that are there twice";
