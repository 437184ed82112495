"""Settings are read once, from what is passed in, and all that is wrong with them is told at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from atlaskit.config import ServiceSettings, load, parse_span
from atlaskit.errors import ConfigurationWrong
from pydantic import SecretStr, ValidationError


class Settings(ServiceSettings):
    dsn: SecretStr
    rows: int = 10


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("250ms", timedelta(milliseconds=250)),
        ("20", timedelta(seconds=20)),
        ("1.5s", timedelta(seconds=1.5)),
        ("5m", timedelta(minutes=5)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_span_is_written_with_its_unit(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


def test_an_empty_variable_counts_as_unset() -> None:
    settings = load(Settings, {"ATLAS_DSN": "x", "ATLAS_ROWS": "", "ATLAS_DRAIN": "PT3S"})
    assert (settings.rows, settings.drain) == (10, timedelta(seconds=3))


def test_all_faults_are_told_together_and_none_with_its_value() -> None:
    with pytest.raises(ConfigurationWrong) as caught:
        load(Settings, {"ATLAS_ROWS": "hunter2", "ATLAS_ADDRESS": "localhost:99999", "ATLAS_TRACE_SAMPLE_RATIO": "2"})
    told = str(caught.value)
    assert told.startswith("4 of the settings")
    for name in ("ATLAS_DSN", "ATLAS_ROWS", "ATLAS_ADDRESS", "ATLAS_TRACE_SAMPLE_RATIO"):
        assert name in told
    assert "hunter2" not in told


def test_only_load_reads_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLAS_ROWS", "99")
    monkeypatch.setenv("ROWS", "98")
    assert load(Settings, {"ATLAS_DSN": "x"}).rows == 10


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        load(Settings, {"ATLAS_DSN": "x"}).rows = 11


def test_a_value_may_lie_in_a_file_and_the_spaces_around_it_are_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("postgresql://x\n")
    loaded = load(Settings, {"ATLAS_DSN_FILE": str(tmp_path / "dsn")})
    assert loaded.dsn.get_secret_value() == "postgresql://x"


def test_a_value_that_stands_twice_or_in_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dsn").write_text("hunter2")
    with pytest.raises(ConfigurationWrong, match="ATLAS_DSN_FILE as well") as caught:
        load(Settings, {"ATLAS_DSN": "x", "ATLAS_DSN_FILE": str(tmp_path / "dsn")})
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationWrong, match="ATLAS_DSN_FILE: cannot read"):
        load(Settings, {"ATLAS_DSN_FILE": str(tmp_path / "none")})
