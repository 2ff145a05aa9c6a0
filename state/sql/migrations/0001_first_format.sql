-- The first format: one row of facts, state documents, schemas, packages, and who changed what.

CREATE TABLE meta (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    pipeline_name TEXT    NOT NULL,
    created_at    REAL    NOT NULL,
    seq           INTEGER NOT NULL,  -- one higher with every transaction that writes
    epoch         INTEGER NOT NULL,  -- of the guard, at the newest transaction
    state_version INTEGER NOT NULL
);

CREATE TABLE document (
    id      INTEGER PRIMARY KEY,
    key     TEXT    NOT NULL UNIQUE,  -- the path, as a JSON list
    value   BLOB,                     -- typed JSON; NULL: deleted, kept for its author's name
    author  TEXT    NOT NULL,         -- of the last change
    seq     INTEGER NOT NULL          -- of the last change
);
CREATE INDEX document_deleted ON document (seq) WHERE value IS NULL;

CREATE TABLE schema_head (
    name         TEXT    PRIMARY KEY,
    version      INTEGER NOT NULL,
    version_hash TEXT    NOT NULL,
    added        INTEGER NOT NULL     -- the transaction that brought the name
);

CREATE TABLE schema_version (
    name         TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    version_hash TEXT    NOT NULL,
    author       TEXT    NOT NULL,
    created_at   REAL    NOT NULL,
    header       BLOB    NOT NULL,    -- the document with its tables left empty
    PRIMARY KEY (name, version)
);

-- One row a table and a time in which it did not change: a version's tables are those with since <= version < until.
CREATE TABLE schema_table (
    name       TEXT    NOT NULL,      -- of the schema
    table_name TEXT    NOT NULL,
    since      INTEGER NOT NULL,      -- the version that brought it
    until      INTEGER,               -- the version that changed or dropped it; NULL: it is in the newest
    place      INTEGER NOT NULL,      -- among the tables of the document
    definition BLOB    NOT NULL,
    PRIMARY KEY (name, table_name, since)
);
CREATE INDEX schema_table_now ON schema_table (name, place) WHERE until IS NULL;
CREATE INDEX schema_table_past ON schema_table (name, until) WHERE until IS NOT NULL;

CREATE TABLE package (
    load_id        TEXT    PRIMARY KEY,
    state          TEXT    NOT NULL CHECK (state IN ('extracted', 'normalized', 'loaded', 'aborted')),
    schema_name    TEXT    NOT NULL,
    schema_version INTEGER NOT NULL,
    schema_hash    TEXT    NOT NULL,
    author         TEXT    NOT NULL,
    run_id         TEXT    NOT NULL,
    created_at     REAL    NOT NULL,
    committed_at   REAL    NOT NULL,
    loaded_at      REAL,
    rejected       INTEGER NOT NULL,
    failure        TEXT,
    dispositions   BLOB    NOT NULL,
    options        BLOB    NOT NULL,
    jobs           BLOB    NOT NULL
);
CREATE INDEX package_by_state ON package (state, load_id);

-- A ring: a new event takes the slot of the oldest, so that the table never grows.
CREATE TABLE event (
    slot   INTEGER PRIMARY KEY,
    seq    INTEGER NOT NULL,
    at     REAL    NOT NULL,
    worker TEXT    NOT NULL,
    why    TEXT    NOT NULL
);
