-- Every question and change that the store asks of SQLite, each with its name and what it is for.

-- name: meta
-- The facts that every transaction starts from.
SELECT seq, epoch, state_version FROM meta WHERE one = 1;

-- name: set_meta
-- The last change of every transaction.
UPDATE meta SET seq = :seq, epoch = :epoch, state_version = :state_version WHERE one = 1;

-- name: first_meta
-- The facts of a new store.
INSERT INTO meta (one, pipeline_name, created_at, seq, epoch, state_version) VALUES (1, ?, ?, 0, 0, 0);

-- name: pipeline_name
-- Whose store this is.
SELECT pipeline_name FROM meta WHERE one = 1;

-- name: newest_seq
-- What a sync must reach to have everything on disk.
SELECT seq FROM meta WHERE one = 1;

-- name: state_version
-- The version of the state.
SELECT state_version FROM meta WHERE one = 1;

-- name: document
-- One document's text.
SELECT value FROM document WHERE key = ? AND value IS NOT NULL;

-- name: all_documents
-- Every document in the order in which their keys came.
SELECT key, value FROM document WHERE value IS NOT NULL ORDER BY id;

-- name: documents_below
-- The documents of one level: its own, and those whose key goes on after it (',' sorts just before '-').
SELECT key, value FROM document
WHERE (key = ?1 || ']' OR (key >= ?1 || ',' AND key < ?1 || '-')) AND value IS NOT NULL ORDER BY id;

-- name: author
-- Who changed a document last, deleted ones too.
SELECT author FROM document WHERE key = ?;

-- name: put_document
-- Set one document, or delete it (a NULL), under its author's name.
INSERT INTO document (key, value, author, seq) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, author = excluded.author, seq = excluded.seq;

-- name: forget_deleted
-- Authors of deletions are kept for a while only.
DELETE FROM document WHERE value IS NULL AND seq < ?;

-- name: schema_names
-- Schemas in the order in which they came.
SELECT name FROM schema_head ORDER BY added, name;

-- name: schema_head
-- The newest version of a schema.
SELECT version, version_hash FROM schema_head WHERE name = ?;

-- name: put_schema_head
-- Point a schema at its newest version.
INSERT INTO schema_head (name, version, version_hash, added) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET version = excluded.version, version_hash = excluded.version_hash;

-- name: schema_version
-- One version of a schema, without its tables.
SELECT version, version_hash, author, created_at, header FROM schema_version WHERE name = ? AND version = ?;

-- name: schema_versions
-- The versions of a schema that are kept, newest first.
SELECT version, version_hash, author, created_at FROM schema_version WHERE name = ? ORDER BY version DESC;

-- name: put_schema_version
-- Add a version.
INSERT INTO schema_version (name, version, version_hash, author, created_at, header) VALUES (?, ?, ?, ?, ?, ?);

-- name: tables_now
-- The tables of the newest version.
SELECT table_name, definition, place FROM schema_table WHERE name = ? AND until IS NULL ORDER BY place;

-- name: tables_then
-- The tables of an older version.
SELECT table_name, definition, place FROM schema_table
WHERE name = ?1 AND since <= ?2 AND (until IS NULL OR until > ?2) ORDER BY place, table_name;

-- name: put_table
-- A table as it is from a version on.
INSERT INTO schema_table (name, table_name, since, until, place, definition) VALUES (?, ?, ?, NULL, ?, ?);

-- name: end_table
-- A table was changed or dropped by a version.
UPDATE schema_table SET until = ? WHERE name = ? AND table_name = ? AND until IS NULL;

-- name: oldest_kept
-- The version that is kept furthest back.
SELECT version FROM schema_version WHERE name = ? ORDER BY version DESC LIMIT 1 OFFSET ?;

-- name: forget_versions
-- History is bounded: versions from before the oldest that is kept go.
DELETE FROM schema_version WHERE name = ? AND version < ?;

-- name: forget_tables
-- Definitions that no kept version has any more go with them.
DELETE FROM schema_table WHERE name = ? AND until IS NOT NULL AND until <= ?;

-- name: drop_schema_head
-- Dropping a schema, first of three.
DELETE FROM schema_head WHERE name = ?;

-- name: drop_schema_versions
-- Dropping a schema, second of three.
DELETE FROM schema_version WHERE name = ?;

-- name: drop_schema_tables
-- Dropping a schema, third of three.
DELETE FROM schema_table WHERE name = ?;

-- name: package
-- One package.
SELECT load_id, state, schema_name, schema_version, schema_hash, author, run_id, created_at, committed_at, loaded_at,
       rejected, failure, dispositions, options, jobs
FROM package WHERE load_id = ?;

-- name: packages
-- Packages, oldest first.
SELECT load_id, state, schema_name, schema_version, schema_hash, author, run_id, created_at, committed_at, loaded_at,
       rejected, failure, dispositions, options, jobs
FROM package ORDER BY load_id LIMIT ?;

-- name: packages_in
-- Packages in one state, oldest first.
SELECT load_id, state, schema_name, schema_version, schema_hash, author, run_id, created_at, committed_at, loaded_at,
       rejected, failure, dispositions, options, jobs
FROM package WHERE state = ? ORDER BY load_id LIMIT ?;

-- name: load_ids
-- Ids of all packages, oldest first.
SELECT load_id FROM package ORDER BY load_id;

-- name: load_ids_in
-- Ids of the packages in one state, oldest first.
SELECT load_id FROM package WHERE state = ? ORDER BY load_id;

-- name: count_packages
-- How many packages there are.
SELECT count(*) FROM package;

-- name: count_packages_in
-- How many packages are in one state.
SELECT count(*) FROM package WHERE state = ?;

-- name: put_package
-- Add a package, or set all that is known of it.
INSERT INTO package (load_id, state, schema_name, schema_version, schema_hash, author, run_id, created_at, committed_at,
                     loaded_at, rejected, failure, dispositions, options, jobs)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (load_id) DO UPDATE SET
    state = excluded.state, schema_name = excluded.schema_name, schema_version = excluded.schema_version,
    schema_hash = excluded.schema_hash, author = excluded.author, run_id = excluded.run_id,
    created_at = excluded.created_at, committed_at = excluded.committed_at, loaded_at = excluded.loaded_at,
    rejected = excluded.rejected, failure = excluded.failure, dispositions = excluded.dispositions,
    options = excluded.options, jobs = excluded.jobs;

-- name: delete_package
-- Forget a package.
DELETE FROM package WHERE load_id = ?;

-- name: events
-- Who changed what, newest first.
SELECT seq, at, worker, why FROM event ORDER BY seq DESC LIMIT ?;

-- name: put_event
-- Tell of a transaction, in the slot of the oldest that is kept.
INSERT OR REPLACE INTO event (slot, seq, at, worker, why) VALUES (?, ?, ?, ?, ?);
