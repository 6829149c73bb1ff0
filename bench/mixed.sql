-- One million rows of ten columns of ten types, about 140 MB.
CREATE TABLE mixed (
    id       bigint PRIMARY KEY,
    name     text NOT NULL,
    note     text,
    score    double precision,
    amount   numeric(12,2),
    seen_at  timestamp with time zone,
    made_at  timestamp without time zone,
    day      date,
    ok       boolean,
    ref      uuid
);
INSERT INTO mixed
SELECT i, 'customer ' || i, md5(i::text), sqrt(i), (i * 7 % 1000000)::numeric / 100,
       timestamptz '2026-01-01 00:00:00+00' + i * interval '1 second 7 microseconds',
       timestamp '2020-01-01' + i * interval '1 minute', date '2000-01-01' + (i % 9000)::int, i % 3 = 0,
       md5((i * 3)::text)::uuid
FROM generate_series(1::bigint, 1000000) AS i;
