"""What every destination promises of values and names: they come back as they went, and are never SQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from packages import Spool, group, schema, table
from targets import Target

from oarlock.errors import DestinationUndefined

TYPED: dict[str, list[Any]] = {
    "text": ["", "a'b\"c\\d\n\\.\n\té😀,;", "\\N", "NULL", '"', None],
    "bigint": [-(2**63), 2**63 - 1, 0, None],
    "double": [0.1, -1e308, 5e-324, float("inf"), 1 / 3, None],
    "bool": [True, False, None],
    "timestamp": [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
        None,
    ],
    "date": [date(1, 1, 1), date(9999, 12, 31), None],
    "time": [time(0), time(23, 59, 59, 999999), None],
    "decimal": [Decimal("0.000000001"), Decimal("-12345678901234567890123456789.123456789"), None],
    "wei": [Decimal(10**37), Decimal(-1), None],
    "binary": [b"", b"\x00\xff'\"\\\n", None],
}


@pytest.mark.parametrize("kind", TYPED)
def test_values_come_back_as_they_went(target: Target, spool: Spool, kind: str) -> None:
    made_for = schema(table("typed", {"n": "bigint", "value": kind}))
    values = TYPED[kind]

    outcome = target.client().load(
        group(
            spool.package("1.0", {"typed": [{"n": n, "value": v} for n, v in enumerate(values)]}, made_for),
            schemas=[made_for],
        )
    )

    assert outcome.failed == {}
    found = [row[0] for row in target.rows("SELECT value FROM typed ORDER BY n")]
    assert found == values
    assert [type(v) for v in found] == [type(v) for v in values]


def test_a_column_alone_keeps_its_missing_and_its_empty_values(target: Target, spool: Spool) -> None:
    made_for = schema(table("one", {"value": "text"}))

    target.client().load(
        group(
            spool.package("1.0", {"one": [{"value": None}, {"value": ""}, {"value": "x"}]}, made_for),
            schemas=[made_for],
        )
    )

    assert target.rows("SELECT count(*), count(value), max(value) FROM one") == [(3, 2, "x")]


def test_json_and_naive_timestamps_come_back(target: Target, spool: Spool) -> None:
    made_for = schema(table("typed", {"doc": "json", "at": "timestamp"}))
    made_for.tables["typed"]["columns"]["at"]["timezone"] = False

    target.client().load(
        group(
            spool.package("1.0", {"typed": [{"doc": '{"a": [1, "x\\n"]}', "at": datetime(2024, 1, 1, 12)}]}, made_for),
            schemas=[made_for],
        )
    )

    with target.client().sql_client(read_only=True) as sql, sql.execute_query('SELECT doc, "at" FROM typed') as cursor:
        found = cursor.arrow().to_pylist()[0]
    assert found["doc"].replace(" ", "") == '{"a":[1,"x\\n"]}'
    assert found["at"] == datetime(2024, 1, 1, 12)


EVIL = [
    "a'b",
    'a"b',
    "a;b",
    "a--b",
    "a\nb",
    "a\\b",
    "a%sb",
    "a$1b",
    "a?b",
    "a{}b",
    "x'); DROP SCHEMA public; --",
    "ü😀",
]


@pytest.mark.parametrize("name", EVIL)
def test_a_name_of_any_characters_is_only_a_name(target: Target, spool: Spool, name: str) -> None:
    made_for = schema(table(name, {name: "bigint", "plain": "text"}))
    wider = schema(table(name, {name: "bigint", "plain": "text", name + "2": "text"}), version=2)
    client = target.client()

    first = client.load(
        group(spool.package("1.0", {name: [{name: 1}]}, made_for, {name: "replace"}), schemas=[made_for])
    )
    second = client.load(group(spool.package("2.0", {name: [{name: 2, name + "2": name}]}, wider), schemas=[wider]))

    assert (first.failed, second.failed) == ({}, {})
    with client.sql_client() as sql:
        assert sql.execute_sql(f"SELECT * FROM {sql.qualified(name)}") == [(1, None, None), (2, None, name)]
    client.drop_tables([name])
    with client.sql_client() as sql, pytest.raises(DestinationUndefined):
        sql.execute_sql(f"SELECT * FROM {sql.qualified(name)}")
