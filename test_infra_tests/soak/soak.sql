-- Keys 1 to 3000 are updated, deleted and inserted again; 3001 to 3300 change their sign.
CREATE TABLE accounts (
    id      integer PRIMARY KEY,
    balance numeric(12,2) NOT NULL,
    note    text,
    seen_at timestamp with time zone NOT NULL
);
INSERT INTO accounts SELECT i, i / 7.0, md5(i::text), now() FROM generate_series(1, 3300) AS i;

CREATE TABLE journal (
    region text,
    id     integer,
    ratio  double precision,
    doc    jsonb,
    PRIMARY KEY (region, id)
);
ALTER TABLE journal REPLICA IDENTITY FULL;
INSERT INTO journal SELECT CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, i, sqrt(i), jsonb_build_object('n', i)
FROM generate_series(1, 3000) AS i;
