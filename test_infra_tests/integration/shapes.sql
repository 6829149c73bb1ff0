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
