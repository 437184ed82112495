"""What the job `migrate` makes of its settings, and the secrets of a deployment that brings none."""

from __future__ import annotations

import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from atlas_migrate import words
from atlas_migrate.job import connector_values, main
from atlas_migrate.settings import Settings
from atlas_migrate.stores import clickhouse_address, passwords_in, ping_of
from atlaskit.config import load
from atlaskit.errors import ConfigurationWrong
from atlaskit.kafka.connector import render, state_of, template
from atlaskit.sql import load as statements


def settings_of(folder: Path, **more: str) -> Settings:
    return load(
        Settings,
        {
            "ATLAS_POSTGRES_DSN_FILE": str(folder / "migrate" / "postgres_dsn"),
            "ATLAS_CLICKHOUSE_URL_FILE": str(folder / "migrate" / "clickhouse_url"),
            "ATLAS_KAFKA_BOOTSTRAP": "kafka:9092",
            "ATLAS_ROLE_PASSWORDS": str(folder / "migrate"),
            "ATLAS_CONNECT_URL": "http://connect:8083",
            **more,
        },
    )


def test_secrets_are_made_once_and_each_consumer_gets_its_own(tmp_path: Path) -> None:
    first = words.write(tmp_path, words.Places())
    assert len(first) == len(set(first)) > 0
    assert words.write(tmp_path, words.Places()) == []
    moved = words.write(tmp_path, words.Places(replica="other:5433"))
    assert sorted(moved) == ["lag-monitor/replica_dsn", "query-router/replica_dsn"]
    dsn = (tmp_path / "ingest" / "postgres_dsn").read_text()
    password = urlsplit(dsn).password
    assert password == (tmp_path / "migrate" / "atlas_ingest").read_text()
    others = [path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.parent.name == "query-router"]
    assert not any(str(password) in text for text in others)


def test_the_words_themselves_are_for_nobody_else_to_read(tmp_path: Path) -> None:
    words.write(tmp_path, words.Places())
    assert stat.S_IMODE((tmp_path / "words").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "words").iterdir()} == {0o600}


def test_the_job_that_makes_secrets_does_not_print_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words.main([str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "wrote ingest/postgres_dsn" in printed
    assert not any(path.read_text() in printed for path in (tmp_path / "words").iterdir())


def test_the_roles_that_get_passwords_are_those_that_the_migrations_make(tmp_path: Path) -> None:
    words.write(tmp_path, words.Places())
    roles = Path(__file__).parents[3] / "libs/atlaskit/postgres/schema/20260101000001_roles.sql"
    listed = roles.read_text().split("ARRAY[", 1)[1].split("]", 1)[0]
    made = {part.strip(" '") for part in listed.split(",")}
    assert set(passwords_in(tmp_path / "migrate")) == made == set(words.ROLES)


def test_the_connector_is_told_where_the_primary_is(tmp_path: Path) -> None:
    words.write(tmp_path, words.Places(primary="db.example:5433"))
    placeholder = str(tmp_path / "migrate" / "unavailable_value_placeholder")
    settings = settings_of(tmp_path, ATLAS_UNAVAILABLE_VALUE_PLACEHOLDER_FILE=placeholder)
    values = connector_values(settings, passwords_in(tmp_path / "migrate"))
    assert (values["database_host"], values["database_port"]) == ("db.example", "5433")
    assert values["database_name"] == "atlas_telemetry"
    assert render(template(), values)["database.password"] == (tmp_path / "words" / "atlas_debezium").read_text()
    elsewhere = settings_of(
        tmp_path, ATLAS_UNAVAILABLE_VALUE_PLACEHOLDER_FILE=placeholder, ATLAS_DATABASE_HOST="faults"
    )
    assert connector_values(elsewhere, passwords_in(tmp_path / "migrate"))["database_host"] == "faults"


def test_a_connector_without_its_word_is_refused(tmp_path: Path) -> None:
    words.write(tmp_path, words.Places())
    with pytest.raises(ConfigurationWrong, match="ATLAS_UNAVAILABLE_VALUE_PLACEHOLDER"):
        connector_values(settings_of(tmp_path), passwords_in(tmp_path / "migrate"))


def test_a_folder_without_passwords_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationWrong, match="has no password"):
        passwords_in(tmp_path)
    (tmp_path / "atlas_ingest").write_text(" \n")
    with pytest.raises(ConfigurationWrong, match="an empty one"):
        passwords_in(tmp_path)


def test_wrong_settings_end_the_job_with_their_own_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 78
    assert "ATLAS_ROLE_PASSWORDS: is not set" in capsys.readouterr().err


def test_addresses_of_clickhouse() -> None:
    assert clickhouse_address("http://a:b@c:8123/atlas") == "clickhouse+http://a:b@c:8123/atlas"
    assert ping_of("http://a:b@c:8123/atlas") == "http://c:8123/ping"


@pytest.mark.parametrize(
    ("connector", "tasks", "state"),
    [
        ("RUNNING", [], "PENDING"),
        ("RUNNING", ["RUNNING"], "RUNNING"),
        ("RUNNING", ["RUNNING", "FAILED"], "FAILED"),
        ("FAILED", ["RUNNING"], "FAILED"),
        ("RUNNING", ["UNASSIGNED"], "PENDING"),
    ],
)
def test_a_connector_runs_when_all_of_it_does(connector: str, tasks: list[str], state: str) -> None:
    status = {"connector": {"state": connector}, "tasks": [{"state": each} for each in tasks]}
    assert state_of(status) == state


def test_the_statement_for_passwords_is_the_servers() -> None:
    folder = Path(__file__).parents[3] / "libs/atlaskit/postgres/queries"
    assert "ALTER ROLE %I PASSWORD %L" in statements(folder)["statement_that_sets_a_password"]
