-- What is still sealed under which wrapping key: found and counted without reading a row.
CREATE INDEX identities_key ON identities (key_id, id);
