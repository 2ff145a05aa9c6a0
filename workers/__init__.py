"""Workers: processes that do tasks side by side, each attached to the pipeline, none able to take the others down."""
