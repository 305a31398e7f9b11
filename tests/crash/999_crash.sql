-- One more migration than the tree has, for the tests of power cuts: it makes a table and an index, and copies rows.

CREATE TABLE crash_copies (id TEXT PRIMARY KEY, subject TEXT NOT NULL) STRICT;
INSERT INTO crash_copies SELECT id, subject FROM identities;
CREATE INDEX crash_audit ON audit (event);
