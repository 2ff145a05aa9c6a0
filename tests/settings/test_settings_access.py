"""``oarlock.config`` and ``oarlock.secrets`` as programs use them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from settings_machine import Machine

from oarlock.errors import ConfigFieldMissing, InvalidSetting
from oarlock.settings.access import Awaiting, config, secrets
from oarlock.settings.lookup import CONFIG_OVERRIDES, SECRET_OVERRIDES, Settings
from oarlock.settings.secret import Secret, redact


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine.make(tmp_path)
    machine.enter(monkeypatch)
    return machine


@pytest.fixture(autouse=True)
def _no_overrides_left() -> Iterator[None]:
    yield
    CONFIG_OVERRIDES.values.clear()
    SECRET_OVERRIDES.values.clear()


def test_config_reads_files_and_the_environment(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    here.write("config.toml", "[api]\nurl = 'http://x'\ncode = '12'\npage = 5\n")
    monkeypatch.setenv("API__LIMIT", "10")

    assert config["api.url"] == "http://x"
    assert config["api.code"] == "12"
    assert config["api"] == {"url": "http://x", "code": "12", "page": 5}
    assert config["api.limit"] == 10
    assert config.get("api.limit", str) == "10"
    assert config.get("api.missing") is None
    assert "api.page" in config
    assert "api.missing" not in config


def test_a_missing_value_is_a_key_error(here: Machine) -> None:
    with pytest.raises(KeyError, match="environment variable API__MISSING"):
        config["api.missing"]
    with pytest.raises(ConfigFieldMissing) as caught:
        secrets["api.missing"]
    assert not any("config.toml" in place for place in caught.value.looked_in)


def test_a_value_of_another_type_is_refused_by_name(here: Machine) -> None:
    here.write("config.toml", "[api]\npage = 'x'\n")

    with pytest.raises(InvalidSetting, match=r"api\.page"):
        config.get("api.page", int)


def test_a_value_set_by_the_program_stands_before_all_others(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOAD__WAIT", "true")

    config["load.wait"] = False

    assert config["load.wait"] is False
    assert Settings.current().require("load.wait").source == "oarlock.config['load.wait']"
    del config["load.wait"]
    assert config["load.wait"] is True
    with pytest.raises(KeyError):
        del config["load.wait"]


def test_a_table_set_by_the_program_answers_for_its_fields(here: Machine) -> None:
    secrets["destination.postgres.credentials"] = {"host": "db", "password": "canary-override"}

    found = Settings.current().require("credentials.password", "destination", "postgres", secret=True)

    assert found.value.reveal() == "canary-override"
    assert redact("canary-override") == "***"


def test_a_secret_read_by_name_can_be_used_and_is_masked_from_then_on(here: Machine) -> None:
    here.write("secrets.toml", "[api]\nopaque = 'canary-by-name'\n")
    assert redact("canary-by-name") == "canary-by-name"

    header = f"Bearer {secrets['api.opaque']}"

    assert header == "Bearer canary-by-name"
    assert redact(header) == "Bearer ***"
    assert repr(secrets.get("api.opaque", Secret)) == "Secret('***')"


def test_the_sentinels_are_told_apart_and_stay_themselves() -> None:
    assert isinstance(config.value, Awaiting)
    assert (config.value.secret, secrets.value.secret) == (False, True)
    assert repr(secrets.value) == "oarlock.secrets.value"
    assert pickle.loads(pickle.dumps(secrets.value)) is secrets.value
    assert copy.deepcopy(config.value) is config.value
