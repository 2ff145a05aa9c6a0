"""Pipelines: the face that users hold, and how one is created, attached to, and restored."""
