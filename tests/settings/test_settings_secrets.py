"""Secrets: where they may stand, and that nothing ever shows them."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from pathlib import Path

import pytest
from settings_machine import Machine

from oarlock.errors import ConfigurationError, InvalidSetting
from oarlock.settings import secret as secret_module
from oarlock.settings.secret import MASK, Secret, redact, redact_all, remember


@pytest.fixture(autouse=True)
def _secrets_of_this_test_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_module, "_known", set())
    monkeypatch.setattr(secret_module, "_ordered", ())


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.make(tmp_path)


def test_a_secret_shows_itself_only_to_reveal() -> None:
    secret = Secret("canary-shown-nowhere")

    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>30}",
        "{}".format(secret),  # noqa: UP032
        str([secret]),
        str({"p": secret}),
    ]

    assert not any("canary" in text for text in shown)
    assert secret.reveal() == "canary-shown-nowhere"


def test_a_secret_does_not_pickle() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("canary-pickle"))
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(Secret("canary-pickle"))


def test_secrets_compare_by_value() -> None:
    assert Secret("aé") == Secret("aé") == "aé"
    assert Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")


def test_a_secret_comes_from_the_environment_a_mounted_file_or_secrets_toml(machine: Machine) -> None:
    machine.write("secrets.toml", "[destination.postgres]\ncredentials = 'from-secrets-toml'")
    mounted = machine.mounted / "destination--postgres--credentials"
    mounted.write_text("from-mounted-file\n")

    def ask(**environ: str) -> tuple[str, str]:
        settings = machine.settings(**environ)
        found = settings.require("credentials", "destination", "postgres", secret=True, as_type=str)
        return found.value.reveal(), found.source

    name = "DESTINATION__POSTGRES__CREDENTIALS"
    assert ask(**{name: "from-environment"}) == ("from-environment", f"environment variable {name}")
    assert ask() == ("from-mounted-file", f"file {mounted}")
    mounted.unlink()
    assert ask()[0] == "from-secrets-toml"


def test_mounted_files_are_read_for_secrets_only_and_nowhere_else(machine: Machine) -> None:
    (machine.mounted / "load--speed").write_text("fast")
    machine.project.joinpath("outside").write_text("outside")

    assert machine.settings().get("speed", "load") is None
    assert machine.settings().get("../project/outside", secret=True) is None


def test_a_secret_in_config_toml_is_refused(machine: Machine) -> None:
    machine.write("config.toml", "[destination.postgres]\ncredentials = 'canary-config-toml'")

    with pytest.raises(
        ConfigurationError, match=r"destination\.postgres\.credentials.*Move it to secrets\.toml"
    ) as caught:
        machine.settings().get("credentials", "destination", "postgres", secret=True)
    assert "canary" not in str(caught.value)


def test_plain_fields_of_credentials_may_stand_in_config_toml(machine: Machine) -> None:
    machine.write("config.toml", "[destination.postgres.credentials]\nhost = 'db'\n")
    machine.write("secrets.toml", "[destination.postgres.credentials]\npassword = 'canary-field'\n")
    settings = machine.settings()

    host = settings.require("credentials.host", "destination", "postgres")
    password = settings.require("credentials.password", "destination", "postgres", secret=True)

    assert (host.value, password.value.reveal()) == ("db", "canary-field")


def test_a_bad_secret_is_not_shown_by_its_error(machine: Machine) -> None:
    machine.write("secrets.toml", "[a]\ntoken = ['canary-in-list']")

    with pytest.raises(InvalidSetting) as caught:
        machine.settings().get("token", "a", secret=True, as_type=str)
    assert "canary" not in str(caught.value)
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_every_form_of_a_secret_is_masked() -> None:
    value = 'canary "forms" ü/ä\\ @100%'
    remember(value)
    forms = [
        value,
        json.dumps({"k": value}),
        json.dumps({"k": value}, ensure_ascii=False),
        repr(value),
        "https://x/?t=canary%20%22forms%22%20%C3%BC%2F%C3%A4%5C%20%40100%25",
        "https://x/?t=canary+%22forms%22+%C3%BC%2F%C3%A4%5C+%40100%25",
    ]

    for form in forms:
        assert "canary" not in redact(f"before {form} after"), form
        assert redact(f"before {form} after").startswith("before ")
    assert json.loads(redact(forms[1])) == {"k": MASK}


def test_the_password_of_a_url_is_masked_alone_too() -> None:
    remember("postgresql://loader:canary%2Fpw%21@db.example/warehouse")

    text = redact("FATAL: canary/pw! and canary%2Fpw%21 for user loader at db.example")

    assert text == "FATAL: *** and *** for user loader at db.example"


def test_the_lines_of_a_key_are_masked_alone_too() -> None:
    remember("-----BEGIN KEY-----\ncanaryMIIEvQIBADANBgkq\ncanary2MIIEvQIBADANBgkq\n-----END KEY-----\n")

    assert redact("at canary2MIIEvQIBADANBgkq: bad") == "at ***: bad"


def test_the_secret_fields_of_a_table_are_masked_and_its_plain_ones_not() -> None:
    remember({"host": "db-canary-host", "port": 6543, "password": "canary-table", "options": {"token": "canary-deep"}})

    assert redact("db-canary-host 6543 canary-table canary-deep") == "db-canary-host 6543 *** ***"


def test_a_longer_secret_is_masked_whole_though_it_holds_a_shorter_one() -> None:
    remember("canarylong")
    remember("canarylong-and-longer")

    assert redact("x canarylong-and-longer y") == "x *** y"


def test_a_short_secret_is_masked_only_where_it_stands_alone() -> None:
    remember("q7")

    assert redact("pin q7; sq72 q7q") == "pin ***; sq72 q7q"


def test_a_setting_with_a_telling_name_is_a_secret_however_it_was_asked(machine: Machine) -> None:
    machine.settings(SOURCES__GITHUB__API_TOKEN="canary-telling").get("api_token", "sources", "github")
    machine.settings(SOURCES__GITHUB__MAX_TOKENS="31415").get("max_tokens", "sources", "github")

    assert redact("canary-telling 31415") == "*** 31415"


def test_redact_all_keeps_the_shape() -> None:
    remember("canary-shape")
    value = {"kept": ["x: canary-shape", 1, None, {"canary-shape": (True, 2.5)}]}

    assert redact_all(value) == {"kept": ["x: ***", 1, None, {"***": [True, 2.5]}]}


def test_logging_a_resolved_value_does_not_show_it(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    found = machine.settings(A__TOKEN="canary-logging").require("token", "a", secret=True)

    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("found %s %r", found, found)

    assert "Secret('***')" in caplog.text
    assert "canary" not in caplog.text
