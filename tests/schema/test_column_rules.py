"""What a schema's settings say about new columns."""

from __future__ import annotations

from typing import Any

import pytest

from oarlock.errors import SchemaError
from oarlock.schema.document import Schema
from oarlock.schema.rules import ColumnRules

SETTINGS: dict[str, Any] = {
    "preferred_types": {"re:_at$": "timestamp", "price": "decimal", "re:^created": "date"},
    "default_hints": {"not_null": ["id", "re:^must_"], "primary_key": ["id"], "unique": []},
}


@pytest.mark.parametrize(
    ("name", "data_type", "hints"),
    [
        ("created_at", "timestamp", {}),
        ("created_on", "date", {}),
        ("price", "decimal", {}),
        ("price_old", None, {}),
        ("id", None, {"nullable": False, "primary_key": True}),
        ("idea", None, {}),
        ("must_have", None, {"nullable": False}),
    ],
)
def test_the_first_rule_for_a_name_holds(name: str, data_type: str | None, hints: dict[str, bool]) -> None:
    rules = ColumnRules(SETTINGS)

    assert rules.preferred_type(name) == data_type
    assert rules.hints(name) == hints


def test_a_new_schema_has_rules_for_the_systems_own_columns_only() -> None:
    rules = ColumnRules(Schema.new("s").settings)

    assert rules.hints("_dlt_id") == {"nullable": False, "unique": True, "row_key": True}
    assert rules.hints("_dlt_parent_id") == {"nullable": False, "parent_key": True}
    assert rules.hints("id") == {}
    assert rules.preferred_type("created_at") is None
    assert ColumnRules({}).hints("_dlt_id") == {}


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(SchemaError, match="regular expression"):
        ColumnRules({"preferred_types": {"re:(": "text"}})


def test_dlt_reads_the_same_rules_in_them() -> None:
    dlt = pytest.importorskip("dlt")
    document = Schema.new("s").document()
    document["settings"] |= SETTINGS
    there, rules = dlt.Schema.from_dict(document), ColumnRules(SETTINGS)

    for name in ("created_at", "created_on", "price", "price_old", "id", "idea", "must_have", "at"):
        assert rules.preferred_type(name) == there.get_preferred_type(name)
        assert ("nullable" in rules.hints(name)) == there._infer_hint("not_null", name)
        assert ("primary_key" in rules.hints(name)) == there._infer_hint("primary_key", name)
