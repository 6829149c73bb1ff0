-- Every shape of a transaction, for test_shapes.py. A section is a table: first what is there before the connector,
-- then transactions; a blank line ends one of them. What ends with ROLLBACK or PREPARE TRANSACTION ends itself.

-- [rewritten]
CREATE TABLE rewritten (id integer PRIMARY KEY, v text);
INSERT INTO rewritten SELECT n, 'before' FROM generate_series(1, 9) n;

UPDATE rewritten SET v = 'one' WHERE id = 1;
UPDATE rewritten SET v = 'two' WHERE id = 1;
UPDATE rewritten SET v = 'three' WHERE id = 1;

DELETE FROM rewritten WHERE id = 2;
INSERT INTO rewritten VALUES (2, 'again');

DELETE FROM rewritten WHERE id = 3;
INSERT INTO rewritten VALUES (3, 'again');
DELETE FROM rewritten WHERE id = 3;

INSERT INTO rewritten VALUES (10, 'short-lived');
DELETE FROM rewritten WHERE id = 10;

UPDATE rewritten SET v = NULL WHERE id = 4;

-- [defaulted]
CREATE DOMAIN state AS text DEFAULT 'new';
CREATE TABLE defaulted (
    id integer PRIMARY KEY DEFAULT 7, state text DEFAULT 'new', weight numeric(8,2) DEFAULT 1.00, flag boolean DEFAULT true,
    at timestamptz DEFAULT '2024-02-29 12:00+02', seen timestamp DEFAULT '2024-02-29 12:00', day date DEFAULT '2024-02-29',
    tags text[] DEFAULT '{}', n integer DEFAULT 7, of_domain state, raw bytea DEFAULT '\xff', span interval DEFAULT '1 day',
    doc jsonb DEFAULT '{}', place point DEFAULT '(1,2)', big bigint NOT NULL DEFAULT 9, r int4range DEFAULT '[1,2)',
    since timestamptz NOT NULL DEFAULT now(), x float8 DEFAULT 0.1, host inet DEFAULT '10.0.0.1', bits bit(3) DEFAULT B'101'
);
INSERT INTO defaulted (id) SELECT n FROM generate_series(1, 5) n;
INSERT INTO defaulted SELECT n, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL,
    '2020-01-01 00:00+00', NULL, NULL, NULL FROM generate_series(11, 15) n;

INSERT INTO defaulted (id) VALUES (20), (21), (22);
INSERT INTO defaulted SELECT n, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL,
    '2020-01-01 00:00+00', NULL, NULL, NULL FROM generate_series(30, 33) n;

UPDATE defaulted SET state = NULL, weight = NULL, flag = NULL, at = NULL, seen = NULL, day = NULL, tags = NULL, n = NULL,
    of_domain = NULL, raw = NULL, span = NULL, doc = NULL, place = NULL, r = NULL, x = NULL, host = NULL, bits = NULL
    WHERE id IN (1, 20);
UPDATE defaulted SET big = 2 WHERE id IN (11, 30);

ALTER TABLE defaulted ALTER state SET DEFAULT 'other', ALTER n SET DEFAULT 8, ALTER tags SET DEFAULT '{a}',
    ALTER x DROP DEFAULT, ALTER r SET DEFAULT 'empty';
INSERT INTO defaulted (id) VALUES (40);
INSERT INTO defaulted (id, state, n, tags, x, r) VALUES (41, NULL, NULL, NULL, NULL, NULL);

UPDATE defaulted SET id = 52 WHERE id = 12;
UPDATE defaulted SET state = NULL, n = NULL WHERE id = 2;
DELETE FROM defaulted WHERE id IN (3, 13, 22, 32);

-- [defaulted_full]
CREATE TABLE defaulted_full (id integer PRIMARY KEY, state text DEFAULT 'new', n integer DEFAULT 7, tags text[] DEFAULT '{}');
ALTER TABLE defaulted_full REPLICA IDENTITY FULL;
INSERT INTO defaulted_full SELECT n, NULL, NULL, NULL FROM generate_series(1, 5) n;

UPDATE defaulted_full SET n = 1 WHERE id = 1;
UPDATE defaulted_full SET n = NULL WHERE id = 1;
UPDATE defaulted_full SET state = 'set' WHERE id = 2;
UPDATE defaulted_full SET id = 30 WHERE id = 3;
DELETE FROM defaulted_full WHERE id = 4;
INSERT INTO defaulted_full VALUES (4, NULL, DEFAULT, NULL);

-- [by_float]
CREATE TABLE by_float (k float8, f float4, v float8[], at point, PRIMARY KEY (k, f));
INSERT INTO by_float VALUES (1.0000000000000002, 1.1754944e-38, '{3.141592653589793,1e-300}', '(0.1,1.0000000000000002)'),
    (3.141592653589793, 3.4028235e+38, NULL, NULL), (1, 16777216, '{}', '(1,1)');

INSERT INTO by_float VALUES (0.30000000000000004, 0.1, '{0.30000000000000004}', '(0.30000000000000004,-0)'),
    (1.7976931348623157e308, 1e-45, NULL, NULL);

UPDATE by_float SET v = '{2.718281828459045}', at = '(2.718281828459045,0)' WHERE k = 1.0000000000000002;
UPDATE by_float SET k = 2.0000000000000004 WHERE k = 3.141592653589793;
DELETE FROM by_float WHERE k = 1;

-- [by_interval]
CREATE TABLE by_interval (k interval PRIMARY KEY, raws bytea[], raw bytea, at timestamptz, r tstzrange, d daterange, m money);
INSERT INTO by_interval SELECT k::interval, ARRAY['\x00ff5c27'::bytea, NULL, ''], '\x5c00ff', '2024-03-10 07:30:00.5+00',
    '[2024-03-10 07:30+00,2024-11-03 06:30+00)', '[2024-02-03,2024-03-02)', 1234.56
    FROM unnest('{1 year -2 mons +3 days -00:00:00.5,-1 day,00:00:01}'::text[]) k;

INSERT INTO by_interval SELECT k::interval, ARRAY['\x00ff5c27'::bytea, NULL, ''], '\x5c00ff', '2024-03-10 07:30:00.5+00',
    '[2024-03-10 07:30+00,2024-11-03 06:30+00)', '[2024-02-03,2024-03-02)', -0.05
    FROM unnest('{-3 years 1 mon,5 days 04:03:02.000001}'::text[]) k;

UPDATE by_interval SET raw = '\x0001fe' WHERE k = '-1 day';
UPDATE by_interval SET k = '-2 days 01:00' WHERE k = '00:00:01';
DELETE FROM by_interval WHERE k = '-3 years 1 mon';

-- [by_bytes]
CREATE TABLE by_bytes (k bytea PRIMARY KEY, v text);
INSERT INTO by_bytes VALUES ('\x', 'empty'), ('\x5c', 'backslash'), ('\x00ff', 'ends');

INSERT INTO by_bytes VALUES ('\x275c00', 'signs'), ('\xfe', 'one');
UPDATE by_bytes SET v = 'changed' WHERE k = '\x5c';
UPDATE by_bytes SET k = '\x01' WHERE k = '\x00ff';
DELETE FROM by_bytes WHERE k = '\xfe';

-- [rewritten_keys]
CREATE TABLE rewritten_keys (k numeric, f float8, t interval, v text, big text, PRIMARY KEY (k, f, t));
ALTER TABLE rewritten_keys ALTER big SET STORAGE EXTERNAL;
INSERT INTO rewritten_keys SELECT n, 0, '30 days', 'old', repeat('big', 3000) FROM generate_series(1, 1000) n;

UPDATE rewritten_keys SET k = 1.00, v = 'new' WHERE k = 1;
UPDATE rewritten_keys SET f = '-0', v = 'new' WHERE k = 2;
UPDATE rewritten_keys SET t = '1 month', v = 'new' WHERE k = 4;

UPDATE rewritten_keys SET k = 5.0, v = 'a' WHERE k = 5;
UPDATE rewritten_keys SET k = 5.00, v = 'b' WHERE k = 5;
UPDATE rewritten_keys SET k = 5, f = '-0', v = 'c' WHERE k = 5;
DELETE FROM rewritten_keys WHERE k = 6;
INSERT INTO rewritten_keys VALUES (6.00, 0, '30 days', 'again', NULL);
UPDATE rewritten_keys SET k = 6.0, v = 'and again' WHERE k = 6;
UPDATE rewritten_keys SET k = 7.0 WHERE k = 7;
DELETE FROM rewritten_keys WHERE k = 7;

UPDATE rewritten_keys SET k = (trim_scale(k)::text || '.000')::numeric, v = 'all' WHERE k > 10;
-- [moved]
CREATE TABLE moved (id integer PRIMARY KEY, v text);
INSERT INTO moved SELECT n, 'before' FROM generate_series(1, 9) n;

UPDATE moved SET id = 101 WHERE id = 1;

UPDATE moved SET id = -2 WHERE id = 2;
UPDATE moved SET id = 2, v = 'was 3' WHERE id = 3;
UPDATE moved SET id = 3, v = 'was 2' WHERE id = -2;

UPDATE moved SET id = id + 1000 WHERE id > 3 AND id < 100;

UPDATE moved SET id = 102 WHERE id = 101;
UPDATE moved SET id = 101, v = 'there and back' WHERE id = 102;

DELETE FROM moved WHERE id = 1004;
UPDATE moved SET id = 1004 WHERE id = 1005;
INSERT INTO moved VALUES (1005, 'new');

-- [rolled_back]
CREATE TABLE rolled_back (id integer PRIMARY KEY, v text);

INSERT INTO rolled_back VALUES (1, 'kept');
SAVEPOINT s;
UPDATE rolled_back SET v = 'gone' WHERE id = 1;
INSERT INTO rolled_back VALUES (2, 'gone');
ROLLBACK TO s;
INSERT INTO rolled_back VALUES (2, 'kept');
SAVEPOINT t;
DELETE FROM rolled_back WHERE id = 1;
RELEASE t;
INSERT INTO rolled_back VALUES (1, 'again');

INSERT INTO rolled_back VALUES (3, 'gone');
ROLLBACK;

-- [prepared]
CREATE TABLE prepared (id integer PRIMARY KEY, v text);

INSERT INTO prepared VALUES (1, 'kept');
PREPARE TRANSACTION 'kept';

INSERT INTO prepared VALUES (2, 'gone');
PREPARE TRANSACTION 'gone';

INSERT INTO prepared VALUES (3, 'before the prepared one');

-- [long_open]
CREATE TABLE long_open (id integer PRIMARY KEY, v text);

-- [emptied]
CREATE TABLE emptied (id integer PRIMARY KEY, v text);
INSERT INTO emptied SELECT n, 'before' FROM generate_series(1, 9) n;

INSERT INTO emptied VALUES (10, 'gone');
TRUNCATE emptied, emptied_too;
INSERT INTO emptied VALUES (1, 'after');
INSERT INTO emptied_too VALUES (10, 'after');
UPDATE emptied SET v = 'after all' WHERE id = 1;

TRUNCATE emptied_too;

INSERT INTO emptied_too VALUES (11, 'after');

TRUNCATE emptied_too;
ROLLBACK;

-- [emptied_too]
CREATE TABLE emptied_too (id integer PRIMARY KEY, v text);
INSERT INTO emptied_too SELECT n, 'before' FROM generate_series(1, 9) n;

-- [full_identity]
CREATE TABLE full_identity (id integer PRIMARY KEY, v text);
ALTER TABLE full_identity REPLICA IDENTITY FULL;
INSERT INTO full_identity SELECT n, 'before' FROM generate_series(1, 9) n;

UPDATE full_identity SET v = 'changed' WHERE id < 3;

UPDATE full_identity SET id = 20 WHERE id = 3;
DELETE FROM full_identity WHERE id = 4;

-- [index_identity]
CREATE TABLE index_identity (id integer PRIMARY KEY, v text NOT NULL);
CREATE UNIQUE INDEX identity ON index_identity (v, id);
ALTER TABLE index_identity REPLICA IDENTITY USING INDEX identity;
INSERT INTO index_identity SELECT n, 'before' FROM generate_series(1, 9) n;

UPDATE index_identity SET v = 'changed' WHERE id < 3;

UPDATE index_identity SET id = 20 WHERE id = 3;
DELETE FROM index_identity WHERE id = 4;

UPDATE index_identity SET id = 21, v = 'both' WHERE id = 5;

-- [by_unique]
CREATE TABLE by_unique (v text, note text, "Part: a,b;c" text NOT NULL, number integer NOT NULL, sent integer);
CREATE UNIQUE INDEX a_first_that_takes_null ON by_unique (note);
CREATE UNIQUE INDEX a_second_for_some ON by_unique (v) WHERE sent > 1000;
CREATE UNIQUE INDEX the_key ON by_unique (number, "Part: a,b;c") INCLUDE (sent);
ALTER TABLE by_unique REPLICA IDENTITY USING INDEX the_key;
INSERT INTO by_unique SELECT 'before', NULL, 'p', n, n FROM generate_series(1, 9) n;

UPDATE by_unique SET v = 'one', sent = 0 WHERE number = 1;
DELETE FROM by_unique WHERE number = 2;
INSERT INTO by_unique VALUES ('again', 'n', 'p', 2, 1), ('new', NULL, 'p', 10, NULL), ('new', NULL, 'q', 10, NULL);

UPDATE by_unique SET number = number + 100 WHERE number = 3;
UPDATE by_unique SET "Part: a,b;c" = 'q', v = 'moved' WHERE number = 4;
DELETE FROM by_unique WHERE number = 10 AND "Part: a,b;c" = 'p';

-- [by_unique_full]
CREATE TABLE by_unique_full (v text, a integer NOT NULL, b integer NOT NULL, c integer, UNIQUE (a, b), UNIQUE (c));
ALTER TABLE by_unique_full REPLICA IDENTITY FULL;
INSERT INTO by_unique_full SELECT 'before', n, n % 3, NULL FROM generate_series(1, 9) n;

UPDATE by_unique_full SET v = 'one', c = 7 WHERE a = 1;
UPDATE by_unique_full SET a = 102 WHERE a = 2;
DELETE FROM by_unique_full WHERE a = 3;
INSERT INTO by_unique_full VALUES ('again', 3, 0, 3), (NULL, 2, 2, NULL);

TRUNCATE by_unique_full;
INSERT INTO by_unique_full SELECT 'after', n, 0, NULL FROM generate_series(1, 5) n;
UPDATE by_unique_full SET b = 1 WHERE a = 5;

-- [appended]
CREATE TABLE appended (tid integer, bid integer, aid integer, delta integer, mtime timestamp, filler text, note text);
CREATE UNIQUE INDEX takes_null ON appended (note);
INSERT INTO appended SELECT 1, 1, n % 3, 5, NULL, 'x', NULL FROM generate_series(1, 9) n;

INSERT INTO appended SELECT 1, 1, n % 3, 5, NULL, 'x', NULL FROM generate_series(1, 5000) n;
INSERT INTO appended VALUES (1, 1, 1, 5, NULL, 'x', NULL), (1, 1, 1, 5, NULL, 'x', NULL), (2, 2, 2, 2, NULL, NULL, 'n');

INSERT INTO appended VALUES (7, 7, 7, 7);
SAVEPOINT s;
INSERT INTO appended VALUES (8, 8, 8, 8);
ROLLBACK TO s;
INSERT INTO appended VALUES (7, 7, 7, 7), (NULL, NULL, NULL, NULL);

INSERT INTO appended VALUES (9, 9, 9, 9);
ROLLBACK;

-- [appended_anew]
CREATE TABLE appended_anew (n integer, v text);
INSERT INTO appended_anew SELECT n % 2, 'read' FROM generate_series(1, 9) n;

INSERT INTO appended_anew VALUES (1, 'gone'), (1, 'gone');
TRUNCATE appended_anew;
INSERT INTO appended_anew VALUES (1, 'kept'), (1, 'kept'), (2, NULL);

INSERT INTO appended_anew SELECT 1, 'kept' FROM generate_series(1, 20);

-- [parts]
CREATE TABLE parts (id integer, r text, v text, PRIMARY KEY (id, r)) PARTITION BY LIST (r);
CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
INSERT INTO parts SELECT n, 'a', 'before' FROM generate_series(1, 9) n;

UPDATE parts SET r = 'b', v = 'moved' WHERE id < 4;

UPDATE parts SET r = 'a' WHERE id = 1;
UPDATE parts SET r = 'b' WHERE id = 1;

DELETE FROM parts WHERE id = 9;
INSERT INTO parts VALUES (9, 'b', 'again');

-- [by_text]
CREATE TABLE by_text (k text PRIMARY KEY, v text);

INSERT INTO by_text VALUES ('', 'empty'), (' ', 'blank'), ('a"b''c\d', 'signs'), ('häß 😀', 'wide');

UPDATE by_text SET v = 'changed';
UPDATE by_text SET k = k || '!' WHERE k <> '';
DELETE FROM by_text WHERE k = ' !';

-- [by_uuid]
CREATE TABLE by_uuid (k uuid PRIMARY KEY, v text);

INSERT INTO by_uuid SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'a' FROM generate_series(0, 5) n;

UPDATE by_uuid SET v = 'b' WHERE k > '00000000-0000-0000-0000-000000000002';

DELETE FROM by_uuid WHERE k = '00000000-0000-0000-0000-000000000003';

-- [by_number]
CREATE TABLE by_number (k numeric(20,4) PRIMARY KEY, v text);

INSERT INTO by_number VALUES (0, 'zero'), (-1.5, 'negative'), (9999999999999999.9999, 'large'), (0.0001, 'small');

UPDATE by_number SET k = k + 1 WHERE k < 1;
UPDATE by_number SET v = 'b' WHERE k = 1;
DELETE FROM by_number WHERE k = 1.0001;

-- [by_both]
CREATE TABLE by_both (a text, b bigint, v text, PRIMARY KEY (b, a));

INSERT INTO by_both SELECT 'a' || n % 2, n, 'a' FROM generate_series(1, 8) n;

UPDATE by_both SET a = 'a0', b = b + 100 WHERE a = 'a1';
DELETE FROM by_both WHERE b = 2;

-- [big]
CREATE TABLE big (id integer PRIMARY KEY, v text);

INSERT INTO big SELECT n, 'a' FROM generate_series(1, 50000) n;
UPDATE big SET v = 'b' WHERE id % 50 = 0;
DELETE FROM big WHERE id % 1000 = 0;

-- [halfway]
CREATE TABLE halfway (id integer PRIMARY KEY, v text);
INSERT INTO halfway SELECT n, repeat('x', 200) FROM generate_series(1, 40000) n;

-- [under_load]
CREATE TABLE under_load (id integer PRIMARY KEY, v text);
INSERT INTO under_load SELECT n, 'before' FROM generate_series(1, 2000) n;

-- [toasted]
CREATE TABLE toasted (id integer PRIMARY KEY, v text, doc jsonb, raw bytea, k text);
ALTER TABLE toasted ALTER v SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT n, repeat(n::text, 3000), to_jsonb(repeat(n::text, 3000)),
    convert_to(repeat(n::text, 3000), 'UTF8'), 'before' FROM generate_series(1, 9) n;

UPDATE toasted SET k = 'changed' WHERE id = 1;

UPDATE toasted SET k = 'one' WHERE id = 2;
UPDATE toasted SET v = repeat('y', 3000) WHERE id = 2;
UPDATE toasted SET k = 'two' WHERE id = 2;

UPDATE toasted SET id = 103 WHERE id = 3;

UPDATE toasted SET id = -4 WHERE id = 4;
UPDATE toasted SET id = 4, k = 'was 5' WHERE id = 5;
UPDATE toasted SET id = 5, doc = NULL WHERE id = -4;

UPDATE toasted SET v = NULL WHERE id = 6;

UPDATE toasted SET k = 'after null' WHERE id = 6;

DELETE FROM toasted WHERE id = 7;
INSERT INTO toasted SELECT 7, repeat('z', 3000), to_jsonb(repeat('z', 3000)), convert_to(repeat('z', 3000), 'UTF8'), 'new';
UPDATE toasted SET k = 'again' WHERE id = 7;
UPDATE toasted SET id = 107 WHERE id = 7;
UPDATE toasted SET id = 7, k = 'back' WHERE id = 107;

UPDATE toasted SET k = 'gone' WHERE id = 8;
DELETE FROM toasted WHERE id = 8;

UPDATE toasted SET k = 'last' WHERE id > 0;

-- [toasted_full]
CREATE TABLE toasted_full (id integer PRIMARY KEY, v text, doc jsonb, raw bytea, k text);
ALTER TABLE toasted_full ALTER v SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL;
ALTER TABLE toasted_full REPLICA IDENTITY FULL;
INSERT INTO toasted_full SELECT n, repeat(n::text, 3000), to_jsonb(repeat(n::text, 3000)),
    convert_to(repeat(n::text, 3000), 'UTF8'), 'before' FROM generate_series(1, 9) n;

UPDATE toasted_full SET k = 'changed' WHERE id = 1;

UPDATE toasted_full SET k = 'one' WHERE id = 2;
UPDATE toasted_full SET v = repeat('y', 3000) WHERE id = 2;
UPDATE toasted_full SET k = 'two' WHERE id = 2;

UPDATE toasted_full SET id = 103 WHERE id = 3;

UPDATE toasted_full SET id = -4 WHERE id = 4;
UPDATE toasted_full SET id = 4, k = 'was 5' WHERE id = 5;
UPDATE toasted_full SET id = 5, doc = NULL WHERE id = -4;

UPDATE toasted_full SET v = NULL WHERE id = 6;

UPDATE toasted_full SET k = 'after null' WHERE id = 6;

DELETE FROM toasted_full WHERE id = 7;
INSERT INTO toasted_full SELECT 7, repeat('z', 3000), to_jsonb(repeat('z', 3000)), convert_to(repeat('z', 3000), 'UTF8'), 'new';
UPDATE toasted_full SET k = 'again' WHERE id = 7;
UPDATE toasted_full SET id = 107 WHERE id = 7;
UPDATE toasted_full SET id = 7, k = 'back' WHERE id = 107;

UPDATE toasted_full SET k = 'gone' WHERE id = 8;
DELETE FROM toasted_full WHERE id = 8;

UPDATE toasted_full SET k = 'last' WHERE id > 0;

-- [toasted_index]
CREATE TABLE toasted_index (id integer PRIMARY KEY, v text, doc jsonb, raw bytea, k text);
ALTER TABLE toasted_index ALTER v SET STORAGE EXTERNAL, ALTER doc SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX identity_of_toasted ON toasted_index (k, id);
ALTER TABLE toasted_index ALTER k SET NOT NULL, REPLICA IDENTITY USING INDEX identity_of_toasted;
INSERT INTO toasted_index SELECT n, repeat(n::text, 3000), to_jsonb(repeat(n::text, 3000)),
    convert_to(repeat(n::text, 3000), 'UTF8'), 'before' FROM generate_series(1, 9) n;

UPDATE toasted_index SET k = 'changed' WHERE id = 1;

UPDATE toasted_index SET k = 'one' WHERE id = 2;
UPDATE toasted_index SET v = repeat('y', 3000) WHERE id = 2;
UPDATE toasted_index SET k = 'two' WHERE id = 2;

UPDATE toasted_index SET id = 103 WHERE id = 3;

UPDATE toasted_index SET id = -4 WHERE id = 4;
UPDATE toasted_index SET id = 4, k = 'was 5' WHERE id = 5;
UPDATE toasted_index SET id = 5, doc = NULL WHERE id = -4;

UPDATE toasted_index SET v = NULL WHERE id = 6;

UPDATE toasted_index SET k = 'after null' WHERE id = 6;

DELETE FROM toasted_index WHERE id = 7;
INSERT INTO toasted_index SELECT 7, repeat('z', 3000), to_jsonb(repeat('z', 3000)), convert_to(repeat('z', 3000), 'UTF8'), 'new';
UPDATE toasted_index SET k = 'again' WHERE id = 7;
UPDATE toasted_index SET id = 107 WHERE id = 7;
UPDATE toasted_index SET id = 7, k = 'back' WHERE id = 107;

UPDATE toasted_index SET k = 'gone' WHERE id = 8;
DELETE FROM toasted_index WHERE id = 8;

UPDATE toasted_index SET k = 'last' WHERE id > 0;
