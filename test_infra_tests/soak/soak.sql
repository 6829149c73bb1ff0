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

-- The same name in another schema.
CREATE SCHEMA archive;
CREATE TABLE archive.accounts (id integer PRIMARY KEY, balance numeric(12,2));

-- Without a key, and many of its rows are equal.
CREATE TABLE visits (account integer, page text);
INSERT INTO visits SELECT i % 5, 'page ' || i % 3 FROM generate_series(1, 1000) AS i;

-- Orders 1 to 500 are deleted and placed again; 501 to 600 change their sign. Lines follow both, notes stay behind.
CREATE SCHEMA sales;
CREATE TABLE sales.orders (id integer PRIMARY KEY, state text);
CREATE TABLE sales.lines (
    order_id integer REFERENCES sales.orders ON DELETE CASCADE ON UPDATE CASCADE,
    line     integer,
    amount   numeric(12,2) NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE sales.notes (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id integer REFERENCES sales.orders ON DELETE SET NULL ON UPDATE CASCADE,
    note     text
);
CREATE INDEX ON sales.notes (order_id);
INSERT INTO sales.orders SELECT i, 'new' FROM generate_series(1, 600) AS i;
INSERT INTO sales.lines SELECT i, line, i / 7.0 FROM generate_series(1, 600) AS i, generate_series(1, 3) AS line;
INSERT INTO sales.notes (order_id, note) SELECT i, md5(i::text) FROM generate_series(1, 600) AS i;
