"""Facts: the store of pipeline state, schemas and load packages."""
