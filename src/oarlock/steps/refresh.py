"""Refresh: what a run takes away before it brings its rows."""

from __future__ import annotations

from typing import Any, assert_never

from oarlock.steps.commit import RunState
from oarlock.steps.schemas import SchemaInHand
from oarlock.values import Refresh


def refreshed(mode: Refresh, hand: SchemaInHand, state: RunState, resources: list[str]) -> dict[str, Any]:
    """Forget the state, and give the package's options that drop or empty tables at the destination.

    ``drop_sources`` drops all tables of the schema and all state of the source; ``drop_resources`` those of the
    resources that run; ``drop_data`` keeps the tables and takes their rows and the resources' state.
    """
    schema = hand.schema
    source = schema.name
    if mode == "drop_sources":
        tables = schema.data_tables()
        _forget(state, source, None)
        if tables:
            hand.drop_tables(tables)
        return {"drop_tables": tables}
    roots = [table for table in schema.data_tables() if schema.table(table).get("resource") in resources]
    tables = [table for root in roots for table in (root, *schema.descendants_of(root))]
    for resource in resources:
        _forget(state, source, resource)
    if mode == "drop_resources":
        if tables:
            hand.drop_tables(tables)
        return {"drop_tables": tables}
    if mode == "drop_data":
        return {"truncate_tables": tables}
    assert_never(mode)


def _forget(state: RunState, source: str, resource: str | None) -> None:
    if resource is not None:
        state.forget_resource(source, resource)
    else:
        state.get().get("sources", {}).pop(source, None)
