"""Schemas as pure values: names, documents, growth, and the types of values."""
