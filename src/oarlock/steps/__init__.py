"""The steps a row goes through: extract, normalize, load. They know rows, and nothing of processes."""
