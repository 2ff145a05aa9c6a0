"""The knobs of a run, and the page of all settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from settings_machine import Machine

from oarlock.errors import ConfigurationError, InvalidSetting
from oarlock.knobs import RuntimeSettings, as_markdown

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.make(tmp_path)


def test_knobs_have_defaults_that_say_so(machine: Machine) -> None:
    knobs = RuntimeSettings.load(machine.settings())

    assert (knobs.lock_timeout_s, knobs.destination_timeout_s, knobs.durability, knobs.wait) == (60, 300, "full", True)
    assert knobs.source("wait") == "default"


def test_knobs_come_from_argument_environment_and_toml(machine: Machine) -> None:
    file = machine.write("config.toml", "[sales.runtime]\ndurability = 'none'\n[load]\ngroup_max_packages = 7\n")
    settings = machine.settings(RUNTIME__LOCK_TIMEOUT_S="5", RUNTIME__LOG_LEVEL="CRITICAL", LOAD__WAIT="no")

    knobs = RuntimeSettings.load(settings, pipeline_name="sales", wait=True, batch_max_rows=None)

    assert (knobs.lock_timeout_s, knobs.log_level, knobs.durability, knobs.group_max_packages) == (
        5,
        "error",
        "none",
        7,
    )
    assert knobs.wait is True
    assert knobs.source("wait") == "argument"
    assert knobs.source("durability") == f"{file}, key sales.runtime.durability"
    assert RuntimeSettings.load(settings, pipeline_name="other").durability == "full"


@pytest.mark.parametrize("variable", ["NORMALIZE__DATA_WRITER__", "EXTRACT__DATA_WRITER__", "DATA_WRITER__"])
def test_the_limits_of_files_are_found_under_dlts_names(machine: Machine, variable: str) -> None:
    assert RuntimeSettings.load(machine.settings(**{variable + "FILE_MAX_BYTES": "5000"})).file_max_bytes == 5000


@pytest.mark.parametrize("variable", ["WAIT", "DURABILITY", "LOG_LEVEL", "OARLOCK_WAIT"])
def test_a_variable_of_a_common_name_is_no_knob(machine: Machine, variable: str) -> None:
    assert RuntimeSettings.load(machine.settings(**{variable: "nonsense"})) == RuntimeSettings.load(machine.settings())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RUNTIME__LOCK_TIMEOUT_S", "abc"),
        ("RUNTIME__LOCK_TIMEOUT_S", "0"),
        ("RUNTIME__LOCK_TIMEOUT_S", "-1"),
        ("RUNTIME__LOCK_TIMEOUT_S", "inf"),
        ("RUNTIME__LOCK_TIMEOUT_S", "nan"),
        ("RUNTIME__DURABILITY", "half"),
        ("RUNTIME__LOG_LEVEL", "loud"),
        ("LOAD__WAIT", "perhaps"),
        ("LOAD__GROUP_MAX_PACKAGES", "1.5"),
        ("EXTRACT__DATA_WRITER__BUFFER_MAX_ITEMS", "0"),
    ],
)
def test_a_bad_value_names_key_value_and_source(machine: Machine, variable: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        RuntimeSettings.load(machine.settings(**{variable: value}))

    assert caught.value.key == variable.lower().replace("__", ".")
    assert caught.value.source == f"environment variable {variable}"
    assert repr(value) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [{"wait": 7}, {"speed": 1}])
def test_a_bad_argument_is_named(machine: Machine, arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        RuntimeSettings.load(machine.settings(), **arguments)


def test_knobs_do_not_change() -> None:
    knobs = RuntimeSettings.load()

    with pytest.raises(ValueError, match="frozen"):
        knobs.wait = False


def test_the_page_of_settings_is_the_table_of_the_code() -> None:
    assert PAGE.read_text("utf-8") == as_markdown()
