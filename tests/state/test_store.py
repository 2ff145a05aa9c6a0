"""The store in one process: transactions, snapshots, versions, schemas, packages, events, threads, limits."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from store_records import package, schema

from oarlock.errors import (
    FencedOut,
    LockTimeout,
    StateConflict,
    StateInvalid,
    StateTooLarge,
    StoreError,
)
from oarlock.state.connection import Connection
from oarlock.state.documents import LIMIT_BYTES, WARN_BYTES
from oarlock.state.store import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="worker-1", durability="none")
    yield made
    made.close()


def test_a_new_store_is_empty_at_version_0(store: SqliteStore) -> None:
    with store.snapshot() as snapshot:
        assert snapshot.documents() == {}
        assert (snapshot.state_version, snapshot.schema_names(), snapshot.packages(), snapshot.events()) == (
            0,
            [],
            [],
            [],
        )
        assert (snapshot.schema("s"), snapshot.schema_version("s"), snapshot.package("1")) == (None, None, None)


def test_what_a_transaction_wrote_is_there_and_says_who_and_why(store: SqliteStore) -> None:
    with store.transaction("count") as tx:
        tx.put(("sources", "s", "n"), 1)
        assert tx.get(("sources", "s", "n")) == 1

    with store.snapshot() as snapshot:
        assert snapshot.get(("sources", "s", "n")) == 1
        assert snapshot.state_version == 1
        (event,) = snapshot.events()
        assert (event.worker, event.why, event.seq) == ("worker-1", "count", 1)


def test_an_exception_takes_everything_back(store: SqliteStore) -> None:
    def fail() -> None:
        with store.transaction("fails") as tx:
            tx.put(("a",), 1)
            tx.put_package(package("1"))
            tx.put_schema(schema(1, {}))
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    with store.snapshot() as snapshot:
        assert (snapshot.documents(), snapshot.load_ids(), snapshot.schema_names(), snapshot.events()) == (
            {},
            [],
            [],
            [],
        )
    with store.transaction("next") as tx:
        tx.put(("a",), 2)


def test_a_transaction_that_writes_nothing_leaves_no_trace(store: SqliteStore) -> None:
    with store.transaction("looks") as tx:
        assert tx.get(("a",), "nothing") == "nothing"

    with store.snapshot() as snapshot:
        assert (snapshot.events(), snapshot.state_version) == ([], 0)


def test_touch_commits_though_nothing_changed(store: SqliteStore) -> None:
    with store.transaction("sweeps") as tx:
        tx.touch()

    with store.snapshot() as snapshot:
        assert [event.why for event in snapshot.events()] == ["sweeps"]
        assert snapshot.state_version == 0


def test_the_version_rises_by_one_when_content_changes_and_not_otherwise(store: SqliteStore) -> None:
    def after(*changes: tuple[Any, Any]) -> int:
        with store.transaction("change") as tx:
            for key, value in changes:
                tx.put(key, value)
            expected = tx.state_version
        with store.snapshot() as snapshot:
            assert snapshot.state_version == expected
            return snapshot.state_version

    assert after((("a",), 1), (("b",), 2)) == 1
    assert after((("a",), 1)) == 1
    assert after((("a",), 5), (("a",), 1)) == 1
    assert after((("c",), {"x": 1, "y": 2})) == 2
    assert after((("c",), {"y": 2, "x": 1})) == 2
    assert after((("_local", "k"), 1)) == 2
    assert after((("a",), True)) == 3


def test_packages_and_schemas_do_not_raise_the_state_version(store: SqliteStore) -> None:
    with store.transaction("package") as tx:
        tx.put_package(package("1"))
        tx.put_schema(schema(1, {"t": {"name": "t"}}))

    with store.snapshot() as snapshot:
        assert snapshot.state_version == 0


def test_a_restore_brings_its_version_along(store: SqliteStore) -> None:
    with store.transaction("restore") as tx:
        tx.put(("a",), 1)
        tx.raise_version(41)
    with store.transaction("change") as tx:
        tx.put(("a",), 2)
        tx.raise_version(7)

    with store.snapshot() as snapshot:
        assert snapshot.state_version == 42


def test_put_and_get_work_at_every_depth(store: SqliteStore) -> None:
    with store.transaction("levels") as tx:
        tx.put(("sources", "s"), {"n": 1, "resources": {"r": {"incremental": {"c": {"last_value": 1}}}}})
        tx.put(("sources", "s", "resources", "r", "incremental", "c", "last_value"), 2)
        tx.put(("counts", "deep", "er"), 5)
        assert tx.get(("sources",)) == {"s": {"n": 1, "resources": {"r": {"incremental": {"c": {"last_value": 2}}}}}}
        assert tx.get(("counts",)) == {"deep": {"er": 5}}
        assert tx.get(("counts", "deep", "no"), 7) == 7
        assert tx.documents(("sources", "s", "resources")) == {
            ("sources", "s", "resources", "r", "incremental", "c"): {"last_value": 2}
        }
        assert tx.documents(("counts", "deep")) == {("counts", "deep"): {"er": 5}}

        tx.put(("sources", "s"), {"m": 1})
        tx.delete(("counts", "deep", "er"))
        tx.delete(("counts", "nothing"))

    with store.snapshot() as snapshot:
        assert snapshot.documents() == {("counts",): {"deep": {}}, ("sources", "s", "m"): 1}


def test_deleting_a_level_deletes_what_is_below_and_an_emptied_level_gives_way(store: SqliteStore) -> None:
    with store.transaction("fill") as tx:
        tx.put(("sources",), {})
        tx.put(("sources", "a", "n"), 1)
        tx.put(("sources", "ab", "n"), 2)
        tx.delete(("sources", "a"))

    with store.snapshot() as snapshot:
        assert snapshot.documents() == {("sources", "ab", "n"): 2}


def test_what_was_read_can_be_changed_without_harm(store: SqliteStore) -> None:
    with store.transaction("list") as tx:
        tx.put(("a",), [1])

    for _ in range(2):
        with store.snapshot() as snapshot:
            value = snapshot.get(("a",))
            assert value == [1]
            value.append(2)


def test_a_snapshot_stays_what_it_was(store: SqliteStore) -> None:
    with store.transaction("one") as tx:
        tx.put(("a",), 1)
        tx.put(("b",), 1)

    with store.snapshot() as before:
        assert before.get(("a",)) == 1
        with store.transaction("two") as tx:
            tx.put(("a",), 2)
            tx.put(("b",), 2)
        with store.snapshot() as after:
            assert (before.get(("b",)), before.state_version) == (1, 1)
            assert (after.get(("a",)), after.get(("b",)), after.state_version) == (2, 2, 2)
    with store.snapshot() as later:
        assert later.get(("a",)) == 2


def test_ended_transactions_and_snapshots_are_not_used_by_mistake(store: SqliteStore) -> None:
    with store.transaction("t") as tx:
        pass
    with store.snapshot() as snapshot:
        pass

    with pytest.raises(StoreError, match="'t' has ended"):
        tx.put(("a",), 1)
    with pytest.raises(StoreError, match="has ended"):
        snapshot.get(("a",))


def test_transactions_do_not_nest(store: SqliteStore) -> None:
    with store.transaction("outer") as tx:
        tx.put(("a",), 1)
        with pytest.raises(StoreError, match="'outer' is open in this thread, 'inner'"):
            with store.transaction("inner"):
                pass
        tx.put(("b",), 1)

    with store.snapshot() as snapshot:
        assert snapshot.documents() == {("a",): 1, ("b",): 1}


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")
    store.close()
    store.close()

    with pytest.raises(StoreError, match="closed"):
        with store.transaction("t"):
            pass
    with pytest.raises(StoreError, match="closed"):
        with store.snapshot():
            pass


def test_threads_take_turns(store: SqliteStore) -> None:
    def count() -> None:
        for _ in range(50):
            with store.transaction("count") as tx:
                tx.put(("n",), tx.get(("n",), 0) + 1)
            with store.snapshot() as snapshot:
                seen.append(snapshot.get(("n",)))

    seen: list[int] = []
    threads = [threading.Thread(target=count) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with store.snapshot() as snapshot:
        assert snapshot.get(("n",)) == 300
        assert snapshot.state_version == 300
    assert len(seen) == 300


def test_who_waits_too_long_for_the_guard_learns_who_holds_it(store: SqliteStore, tmp_path: Path) -> None:
    other = SqliteStore.open(tmp_path / "p", worker="worker-2")
    with store.transaction("slow work"):
        with pytest.raises(LockTimeout, match="slow work"):
            with other.transaction("quick", timeout_s=0.05):
                pass
    with other.transaction("quick", timeout_s=5) as tx:
        tx.put(("a",), 1)
    other.close()


def test_a_merge_joins_keys_and_names_both_writers_of_a_conflict(store: SqliteStore) -> None:
    with store.transaction("start") as tx:
        tx.put(("a",), 1)
    with store.snapshot() as snapshot:
        base = snapshot.documents()
    with store.transaction("first run") as tx:
        tx.merge(base, {("a",): 2, ("b",): 1}, author="run-1")
    with store.transaction("second run") as tx:
        tx.merge(base, {("a",): 1, ("c",): 1}, author="run-2")

    with store.snapshot() as snapshot:
        assert snapshot.documents() == {("a",): 2, ("b",): 1, ("c",): 1}

    def conflict() -> None:
        with store.transaction("third run") as tx:
            tx.put(("d",), 1)
            tx.merge(base, {("a",): 3}, author="run-3")

    with pytest.raises(StateConflict, match="'a' was changed by run-1 while run-3"):
        conflict()
    with store.snapshot() as snapshot:
        assert snapshot.get(("d",)) is None


def test_a_conflict_with_a_deletion_names_who_deleted(store: SqliteStore) -> None:
    with store.transaction("start") as tx:
        tx.put(("a",), 1)
    with store.transaction("delete") as tx:
        tx.merge({("a",): 1}, {}, author="run-1")

    with pytest.raises(StateConflict, match="by run-1 while run-2"):
        with store.transaction("change") as tx:
            tx.merge({("a",): 1}, {("a",): 2}, author="run-2")


def test_values_that_cannot_be_kept_are_refused_by_the_name_of_their_key(store: SqliteStore) -> None:
    for value in ({1, 2}, {"k": object()}):
        with pytest.raises(StateInvalid, match=r"sources\.s\.n"):
            with store.transaction("bad") as tx:
                tx.put(("sources", "s", "n"), value)
    with pytest.raises(StateTooLarge, match=r"sources\.s\.n"):
        with store.transaction("huge") as tx:
            tx.put(("sources", "s", "n"), "x" * LIMIT_BYTES)

    with store.transaction("large") as tx:
        tx.put(("sources", "s", "n"), "x" * WARN_BYTES)
        assert [(large.key, large.size_bytes) for large in tx.large] == [(("sources", "s", "n"), WARN_BYTES + 2)]
        tx.put(("sources", "s", "m"), "x" * (WARN_BYTES - 2))
        assert len(tx.large) == 1


def test_a_former_owner_writes_nothing(store: SqliteStore, tmp_path: Path) -> None:
    with store.transaction("before") as tx:
        tx.put(("a",), 1)
    other = SqliteStore.open(tmp_path / "p", worker="w2")

    def pause() -> None:
        with store.transaction("paused") as tx:
            tx.put(("a",), 2)
            # Somebody removes the lock file, and another owner takes over.
            (tmp_path / "p" / "guard.lock").unlink()
            assert other._guard.try_acquire("take over") is not None

    with pytest.raises(FencedOut):
        pause()

    other._guard.release()
    with store.snapshot() as snapshot:
        assert snapshot.get(("a",)) == 1
    with other.transaction("anew") as tx:
        tx.put(("a",), 3)
    with store.transaction("anew") as tx:
        assert tx.get(("a",)) == 3
    other.close()


def test_epochs_go_on_rising_when_the_guards_count_is_lost(store: SqliteStore, tmp_path: Path) -> None:
    for _ in range(5):
        with store.transaction("before") as tx:
            tx.put(("a",), tx.epoch)
            last = tx.epoch
    store.close()
    (tmp_path / "p" / "guard.owner").unlink()
    (tmp_path / "p" / "guard.lock").unlink()
    store = SqliteStore.open(tmp_path / "p", worker="w2")

    with store.transaction("after") as tx:
        assert tx.epoch > last
        tx.put(("a",), tx.epoch)
    store.close()


def test_an_epoch_below_the_recorded_one_is_fenced_out(store: SqliteStore, tmp_path: Path) -> None:
    other = SqliteStore.open(tmp_path / "p", worker="w2")
    turn = store.transaction("paused before it began")
    begin = store._begin

    def others_turn_first(deadline: float) -> Connection:
        # The paused owner's lock file is removed; another takes over, writes, and is done before the first goes on.
        (tmp_path / "p" / "guard.lock").unlink()
        with other.transaction("take over") as tx:
            tx.put(("a",), 2)
        return begin(deadline)

    store._begin = others_turn_first  # type: ignore[method-assign]
    with pytest.raises(FencedOut), turn as tx:
        tx.put(("a",), 1)

    with other.snapshot() as snapshot:
        assert snapshot.get(("a",)) == 2
    other.close()


def test_sync_brings_what_was_not_waited_for_to_disk(tmp_path: Path) -> None:
    store = SqliteStore.create(tmp_path / "p", pipeline_name="p", worker="w")
    with store.transaction("later", durable=False) as tx:
        tx.put(("a",), 1)
    assert store._sync.led == 0

    store.sync()
    assert store._sync.led == 1
    store.sync()
    assert store._sync.led == 1
    with store.transaction("now") as tx:
        tx.put(("a",), 2)
    assert store._sync.led == 2
    store.close()


def test_a_healthy_store_has_no_problems(store: SqliteStore) -> None:
    with store.transaction("fill") as tx:
        tx.put(("sources", "s", "n"), b"\x00")
        tx.put_package(package("1"))

    assert store.check() == []
