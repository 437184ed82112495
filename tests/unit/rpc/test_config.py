"""Settings are read once, from what is passed in, and all that is wrong with them is told at once."""

from __future__ import annotations

from datetime import timedelta

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
