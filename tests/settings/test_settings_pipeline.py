"""What a pipeline is made with: each parameter from its place, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from settings_machine import Machine

from oarlock.errors import ConfigurationError, InvalidPipelineName, InvalidSetting, SaltMismatch
from oarlock.settings.catalogue import ENVIRONMENT_ONLY, OF_PIPELINES
from oarlock.settings.lookup import Settings
from oarlock.settings.pipeline import resolve_pipeline
from oarlock.settings.salt import check_salt, default_salt, salt_digest
from oarlock.settings.secret import Secret


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.make(tmp_path)


def test_with_nothing_given_the_defaults_are_ours(machine: Machine) -> None:
    found = resolve_pipeline(machine.settings(), pipeline_name="sales")

    assert found.pipelines_dir == machine.home / ".oarlock" / "pipelines"
    assert found.working_dir == found.pipelines_dir / "sales"
    assert found.destination is found.staging is found.dataset_name is found.progress is found.refresh is None
    assert found.pipeline_salt == default_salt("sales")
    assert not found.salt_is_explicit
    assert not found.dev_mode
    assert found.restore_from_destination
    assert found.enable_runtime_trace
    assert found.restore_from_destination
    assert found.sources == {"pipeline_name": "argument"}


def test_arguments_come_before_the_environment(machine: Machine) -> None:
    factory = object()
    settings = machine.settings(DATASET_NAME="env", DEV_MODE="true", DESTINATION_TYPE="postgres", PIPELINES_DIR="/env")

    found = resolve_pipeline(
        settings,
        pipeline_name="sales",
        dataset_name="arg",
        dev_mode=False,
        destination=factory,
        pipelines_dir=Path("~/mine"),
        restore_from_destination=False,
    )

    assert (found.dataset_name, found.dev_mode, found.restore_from_destination) == ("arg", False, False)
    assert found.destination is factory
    assert found.pipelines_dir == machine.home / "mine"


def test_every_parameter_is_found_in_the_environment(machine: Machine) -> None:
    found = resolve_pipeline(
        machine.settings(
            PIPELINE_NAME="not this",
            PIPELINES__PIPELINE_NAME="sales",
            PIPELINES__SALES__DATASET_NAME="ds",
            PIPELINES__DATASET_NAME_LAYOUT="dev_%s",
            PIPELINES_DIR="~/folder",
            PIPELINE_SALT="canary-salt",
            DESTINATION_TYPE="postgres",
            DESTINATION_NAME="warehouse",
            STAGING_TYPE="filesystem",
            DEV_MODE="yes",
            REFRESH="drop_data",
            PROGRESS="log",
            RESTORE_FROM_DESTINATION="0",
            IMPORT_SCHEMA_PATH="~/in",
            EXPORT_SCHEMA_PATH="~/out",
        )
    )

    assert found.pipeline_name == "sales"
    assert (found.dataset_name, found.dataset("x")) == ("ds", "dev_x")
    assert found.pipelines_dir == machine.home / "folder"
    assert found.pipeline_salt.reveal() == "canary-salt"
    assert found.salt_is_explicit
    assert "canary" not in repr(found)
    assert (found.destination, found.destination_name, found.staging) == ("postgres", "warehouse", "filesystem")
    assert (found.dev_mode, found.refresh, found.progress) == (True, "drop_data", "log")
    assert not found.restore_from_destination
    assert (found.import_schema_path, found.export_schema_path) == (machine.home / "in", machine.home / "out")
    assert found.sources["dataset_name"] == "environment variable PIPELINES__SALES__DATASET_NAME"


def test_a_destination_known_by_its_name_alone_is_looked_up_by_it(machine: Machine) -> None:
    found = resolve_pipeline(machine.settings(DESTINATION_NAME="warehouse"), pipeline_name="sales")

    assert (found.destination, found.destination_name) == ("warehouse", "warehouse")


def test_empty_arguments_count_as_not_given(machine: Machine) -> None:
    found = resolve_pipeline(
        machine.settings(PIPELINE_NAME="sales", DATASET_NAME="env"), pipeline_name="", dataset_name="", pipeline_salt=""
    )

    assert (found.pipeline_name, found.dataset_name, found.salt_is_explicit) == ("sales", "env", False)


def test_a_relative_folder_is_made_absolute(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(machine.project)

    assert resolve_pipeline(machine.settings(), pipelines_dir="a/../b").pipelines_dir == machine.project / "b"


@pytest.mark.parametrize(
    ("arguments", "environ", "seen"),
    [
        ({"dataset_name_layout": "fixed"}, {}, "fixed"),
        ({}, {"DATASET_NAME_LAYOUT": "%s_%s"}, "DATASET_NAME_LAYOUT"),
        ({"refresh": "everything"}, {}, "drop_sources"),
        ({}, {"DEV_MODE": "perhaps"}, "environment variable DEV_MODE"),
        ({"pipelines_dir": "postgresql://db/x"}, {}, "postgresql://db/x"),
        ({"dataset_name": ["x"]}, {}, "argument"),
    ],
)
def test_a_value_that_cannot_work_is_named(
    machine: Machine, arguments: dict[str, Any], environ: dict[str, str], seen: str
) -> None:
    with pytest.raises(InvalidSetting, match=seen):
        resolve_pipeline(machine.settings(**environ), pipeline_name="sales", **arguments)


def test_a_salt_in_config_toml_is_refused(machine: Machine) -> None:
    machine.write("config.toml", "pipeline_salt = 'canary-salt-toml'")

    with pytest.raises(ConfigurationError, match="pipeline_salt"):
        resolve_pipeline(machine.settings(), pipeline_name="sales")


def test_a_bad_name_is_refused_wherever_it_came_from(machine: Machine) -> None:
    with pytest.raises(InvalidPipelineName):
        resolve_pipeline(machine.settings(PIPELINE_NAME="../x"))


def test_an_argument_that_no_pipeline_has_is_a_type_error(machine: Machine) -> None:
    with pytest.raises(TypeError, match="'foo'"):
        resolve_pipeline(machine.settings(), foo=1)


def test_the_default_salt_is_the_one_of_dlt() -> None:
    assert default_salt("sales") == base64.b64encode(hashlib.sha3_256(b"sales").digest()).decode()


def test_the_digest_tells_the_same_salt_from_another() -> None:
    digest = salt_digest("canary-digest", "sales")

    check_salt(digest, "canary-digest", "sales")
    check_salt(None, None, "sales")
    check_salt(None, default_salt("sales"), "sales")
    assert "canary" not in digest
    assert digest != salt_digest("canary-digest", "other")
    for stored, given, name in (
        (digest, "another", "sales"),
        (digest, None, "sales"),
        (digest, "canary-digest", "other"),
        (None, "canary-digest", "sales"),
        ("scrypt$1048576$x", "canary-digest", "sales"),
        ("scrypt$³$x", "canary-digest", "sales"),
        ("scrypt$1000$x", "canary-digest", "sales"),
        ("md5$x", "canary-digest", "sales"),
        ("", "canary-digest", "sales"),
    ):
        with pytest.raises(SaltMismatch) as caught:
            check_salt(stored, given, name)
        assert "canary" not in str(caught.value)


def test_the_digest_costs_an_attach_little() -> None:
    def once() -> float:
        before = time.process_time()
        salt_digest("salt", "sales")
        return time.process_time() - before

    assert min(once() for _ in range(20)) < 0.002


def test_a_salt_given_as_a_secret_is_taken(machine: Machine) -> None:
    found = resolve_pipeline(machine.settings(), pipeline_name="sales", pipeline_salt=Secret("canary-given"))

    assert found.pipeline_salt.reveal() == "canary-given"


class _Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def _asked(names: set[str], prefix: str) -> Iterator[str]:
    return (name for name in names if name.startswith(prefix))


def test_the_catalogue_lists_exactly_what_is_asked_for(machine: Machine) -> None:
    environ = _Asked({"HOME": str(machine.home)})

    resolve_pipeline(Settings(environ=environ, mounted_secrets=machine.mounted))

    of_pipelines = {setting.variable for setting in OF_PIPELINES}
    nested = {name for name in environ.names if name.startswith("PIPELINES__OARLOCK")}
    assert set(_asked(environ.names - nested, "PIPELINES__")) == of_pipelines
    others = {setting.variable for setting in ENVIRONMENT_ONLY} - {"OARLOCK_ALLOW_UNSAFE_FS", "OARLOCK_STRICT_EVENTS"}
    assert {*_asked(environ.names, "OARLOCK_"), *_asked(environ.names, "DLT_")} == others
