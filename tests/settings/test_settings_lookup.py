"""Which place answers for a setting, in which order, and how an answer is read."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from settings_machine import Machine

from oarlock.errors import ConfigFieldMissing, ConfigurationError, InvalidSetting
from oarlock.settings.coercion import coerce, guess
from oarlock.settings.lookup import Settings

#: From first to last: where `dataset_name` is found for the section `pipelines.sales`.
ENVIRONMENT_ORDER = ("PIPELINES__SALES__DATASET_NAME", "PIPELINES__DATASET_NAME", "DATASET_NAME")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.make(tmp_path)


@pytest.mark.parametrize("first", range(3))
def test_the_most_specific_variable_wins(machine: Machine, first: int) -> None:
    environ = {name: name.lower() for name in ENVIRONMENT_ORDER[first:]}

    found = machine.settings(**environ).get("dataset_name", "pipelines", "sales")

    assert found is not None
    assert found.value == ENVIRONMENT_ORDER[first].lower()
    assert found.source == f"environment variable {ENVIRONMENT_ORDER[first]}"


def test_places_answer_in_order_argument_environment_secrets_config_default(machine: Machine) -> None:
    secrets = machine.write("secrets.toml", "[load]\nspeed = 'secrets'")
    config = machine.write("config.toml", "[load]\nspeed = 'config'")

    def ask(explicit: str | None = None, **environ: str) -> tuple[Any, str]:
        found = machine.settings(**environ).get("speed", "load", explicit=explicit, default="default")
        assert found is not None
        return found.value, found.source

    assert ask("given", LOAD__SPEED="environment") == ("given", "argument")
    assert ask(LOAD__SPEED="environment") == ("environment", "environment variable LOAD__SPEED")
    assert ask() == ("secrets", f"{secrets}, key load.speed")
    secrets.unlink()
    assert ask() == ("config", f"{config}, key load.speed")
    config.unlink()
    assert ask() == ("default", "default")
    assert machine.settings().get("speed", "load") is None


def test_a_name_with_the_pipeline_in_it_is_found_anywhere_before_one_without(machine: Machine) -> None:
    machine.write("config.toml", "[sales.destination.duckdb]\nthreads = 3")
    settings = machine.settings(DESTINATION__DUCKDB__THREADS="5")

    of_sales = settings.require("threads", "destination", "duckdb", pipeline_name="sales", as_type=int)
    of_others = settings.require("threads", "destination", "duckdb", pipeline_name="other", as_type=int)

    assert (of_sales.value, of_others.value) == (3, 5)


def test_an_empty_variable_counts_as_not_set(machine: Machine) -> None:
    assert machine.settings(LOAD__SPEED="").get("speed", "load") is None


def test_a_name_that_no_shell_can_write_is_found_with_underscores(machine: Machine) -> None:
    found = machine.settings(PIPELINES__MY_PIPE_2__DATASET_NAME="x").require("dataset_name", "pipelines", "my-pipe 2")

    assert found.value == "x"


@pytest.mark.parametrize("name", ["path", "username", "host", "type"])
def test_a_variable_of_the_shell_never_answers_for_a_setting(machine: Machine, name: str) -> None:
    settings = machine.settings(**{name.upper(): "of the shell"})

    assert settings.get(name, "destination", "postgres") is None
    assert settings.require(name).value == "of the shell"


def test_the_parts_of_a_dotted_key_stay_together(machine: Machine) -> None:
    settings = machine.settings(PASSWORD="anybody's", CREDENTIALS__PASSWORD="ours")

    assert settings.require("credentials.password", "destination", "postgres").value == "ours"


def test_the_projects_file_wins_over_the_users_key_by_key(machine: Machine) -> None:
    machine.write("config.toml", "[load]\na = 1\n[load.deep]\nx = 1")
    theirs = machine.write_global("config.toml", "[load]\na = 2\nb = 2\n[load.deep]\nx = 2\ny = 2")
    settings = machine.settings()

    assert settings.require("a", "load").value == 1
    assert settings.require("b", "load").source == f"{theirs}, key load.b"
    assert settings.require("load", as_type=dict).value == {"a": 1, "b": 2, "deep": {"x": 1, "y": 2}}


def test_the_folder_of_dlt_is_read_where_the_project_has_none_of_ours(machine: Machine) -> None:
    machine.write("config.toml", "dataset_name = 'theirs'", folder=".dlt")
    assert machine.settings().require("dataset_name").value == "theirs"

    (machine.project / ".oarlock").mkdir()

    assert machine.settings().get("dataset_name") is None


def test_a_project_in_the_home_folder_reads_dlts_folder_beside_our_data(machine: Machine) -> None:
    machine.write_global("config.toml", "a = 1")
    (machine.home / ".dlt").mkdir()
    (machine.home / ".dlt" / "config.toml").write_text("b = 2")
    settings = Settings(project_dir=machine.home, environ={"HOME": str(machine.home)})

    assert (settings.require("a").value, settings.require("b").value) == (1, 2)


def test_folders_come_from_the_environment_ours_before_dlts(tmp_path: Path) -> None:
    (tmp_path / "p1" / "conf").mkdir(parents=True)
    (tmp_path / "p1" / "conf" / "config.toml").write_text("a = 1")
    environ = {
        "HOME": str(tmp_path),
        "OARLOCK_PROJECT_DIR": "~/p1",
        "DLT_PROJECT_DIR": "~/p2",
        "OARLOCK_CONFIG_FOLDER": "conf",
        "OARLOCK_DATA_DIR": "~/data",
        "DLT_LOCAL_DIR": "~/local",
    }

    settings = Settings(environ=environ)

    assert settings.folders.project == tmp_path / "p1"
    assert settings.folders.pipelines == tmp_path / "data" / "pipelines"
    assert settings.folders.local == tmp_path / "local"
    assert settings.require("a").value == 1


def test_without_any_variable_the_folders_are_home_and_the_current_one(tmp_path: Path) -> None:
    folders = Settings(environ={"HOME": str(tmp_path)}).folders

    assert folders.pipelines == tmp_path / ".oarlock" / "pipelines"
    assert folders.local == folders.project == Path.cwd()


def test_a_missing_setting_names_every_place_in_order(machine: Machine) -> None:
    with pytest.raises(ConfigFieldMissing) as caught:
        machine.settings().require("speed", "load", pipeline_name="sales")

    secrets, config = (machine.project / ".oarlock" / name for name in ("secrets.toml", "config.toml"))
    assert caught.value.looked_in == [
        "environment variable SALES__LOAD__SPEED",
        "environment variable SALES__SPEED",
        f"{secrets}, key sales.load.speed",
        f"{secrets}, key sales.speed",
        f"{config}, key sales.load.speed",
        f"{config}, key sales.speed",
        "environment variable LOAD__SPEED",
        "environment variable SPEED",
        f"{secrets}, key load.speed",
        f"{secrets}, key speed",
        f"{config}, key load.speed",
        f"{config}, key speed",
    ]
    assert isinstance(caught.value, KeyError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    ("value", "as_type", "expected"),
    [
        ("true", bool, True),
        (" Off ", bool, False),
        (1, bool, True),
        ("12", int, 12),
        ("1_000", int, 1000),
        (3.0, int, 3),
        ("1.5", float, 1.5),
        (2, float, 2.0),
        (2024, str, "2024"),
        ("[1, 2]", list, [1, 2]),
        ("a, b,", list, ["a", "b"]),
        ((1, 2), list, [1, 2]),
        ('{"a": 1}', dict, {"a": 1}),
        ("/x", Path, Path("/x")),
    ],
)
def test_texts_are_read_as_the_type_asked_for(value: object, as_type: type, expected: object) -> None:
    result = coerce(value, as_type, key="k", source="s")

    assert result == expected
    assert type(result) is type(expected) or isinstance(result, Path)


@pytest.mark.parametrize(
    ("value", "as_type"),
    [
        ("perhaps", bool),
        (2, bool),
        (1.0, bool),
        ("1.5", int),
        (True, int),
        (1.5, int),
        ("abc", int),
        ("nan", float),
        ("inf", float),
        (True, float),
        (True, str),
        ({}, str),
        (5, list),
        ("[1", list),
        ("[" * 100_000, list),
        ("[1]", dict),
        ("", Path),
    ],
)
def test_a_value_that_does_not_read_names_key_value_and_source(value: object, as_type: type) -> None:
    with pytest.raises(InvalidSetting) as caught:
        coerce(value, as_type, key="load.k", source="environment variable LOAD__K")

    assert caught.value.key == "load.k"
    assert caught.value.source == "environment variable LOAD__K"
    assert repr(value)[:100] in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True),
        ("12", 12),
        ("-1.5", -1.5),
        ("007", "007"),
        ("1_0", "1_0"),
        ("1e5", "1e5"),
        ("nan", "nan"),
        ("", ""),
    ],
)
def test_only_a_plain_number_or_bool_is_guessed(text: str, expected: object) -> None:
    assert guess(text) == expected
    assert type(guess(text)) is type(expected)


def test_a_table_is_no_answer_for_a_text(machine: Machine) -> None:
    machine.write("config.toml", "[destination.duckdb]\nthreads = 1")
    settings = machine.settings(DESTINATION="postgres")

    assert settings.require("destination", "pipelines", as_type=str).value == "postgres"
    assert settings.get("duckdb", "destination", as_type=str) is None


def test_a_file_that_is_no_toml_is_named_with_its_line(machine: Machine) -> None:
    file = machine.write("config.toml", "a = 1\nb = = 2")

    with pytest.raises(ConfigurationError, match=r"config\.toml' is not valid toml.*line 2") as caught:
        machine.settings().get("a")
    assert str(file) in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that exists and does not read, also for root")
def test_a_file_that_cannot_be_read_is_named(machine: Machine) -> None:
    file = machine.write("config.toml", "")
    file.unlink()
    file.symlink_to("/proc/self/mem")

    with pytest.raises(ConfigurationError, match=r"config\.toml' cannot be read: Input/output error"):
        machine.settings().get("a")


def test_a_file_that_is_no_utf8_is_named(machine: Machine) -> None:
    machine.write("secrets.toml", "").write_bytes(b"a = '\xff'")

    with pytest.raises(ConfigurationError, match="it is not UTF-8 text"):
        machine.settings().get("a")
