"""What the parts are told: rendered settings, platform, space, reach, and the errors that come of them."""

import errno
from pathlib import Path

import pytest
from atlas_local.account import closed_ancestor
from atlas_local.connect import worker_settings
from atlas_local.errors import DiskFull, PartFailed, UnsupportedPlatform, from_os_error
from atlas_local.java_runtime import properties
from atlas_local.kafka import broker_settings
from atlas_local.postgres import PostgresTuning, server_settings
from atlas_local.stack import check_platform, check_space
from atlaskit.kafka.connector import render, template

VALUES = {
    "database_host": "db.example",
    "database_port": "5432",
    "database_user": "atlas_debezium",
    "database_password": "s3cret",
    "database_name": "atlas_telemetry",
    "unavailable_value_placeholder": "0123",
}


def connector() -> dict[str, str]:
    return render(template(), VALUES)


def test_the_connector_keeps_what_the_proof_of_freshness_rests_on() -> None:
    assert (
        connector().items()
        >= {
            "plugin.name": "pgoutput",
            "slot.name": "debezium_atlas_slot",
            "publication.autocreate.mode": "disabled",
            "errors.tolerance": "none",
            "exactly.once.support": "required",
            "transaction.boundary": "poll",
            "snapshot.mode": "no_data",
            "offset.mismatch.strategy": "trust_offset",
            "transforms": "partition,route,flatten",
            "transforms.flatten.delete.tombstone.handling.mode": "rewrite",
            "transforms.flatten.add.fields": "op,table,lsn",
        }.items()
    )


def test_a_dollar_of_a_pattern_survives_the_rendering() -> None:
    settings = connector()
    assert settings["transforms.route.regex"] == r"^atlas\.public\.(.+?)(?:_beat)?$"
    assert settings["transforms.route.replacement"] == "atlas.$1"


def test_remarks_are_not_sent_to_connect() -> None:
    assert "//" not in connector()


def test_a_value_that_is_missing_stops_the_rendering() -> None:
    with pytest.raises(KeyError, match="database_password"):
        render(template(), {key: value for key, value in VALUES.items() if key != "database_password"})


def test_the_worker_writes_exactly_once() -> None:
    assert worker_settings("h:1", 2, Path("/p"))["exactly.once.source.support"] == "enabled"


def test_the_broker_never_makes_a_topic_by_itself() -> None:
    assert broker_settings(Path("/d"), 1, 2)["auto.create.topics.enable"] == "false"


def test_the_servers_acknowledge_only_what_is_on_disk_and_keep_a_bounded_log() -> None:
    settings = server_settings(PostgresTuning(shared_buffers="1GB"), 1, Path("/p"), 2)
    assert settings["synchronous_commit"] == "on"
    assert settings["shared_buffers"] == "1GB"
    assert settings["max_slot_wal_keep_size"] != "-1"


def test_no_password_stands_in_the_settings_of_a_server() -> None:
    assert "password=" not in server_settings(PostgresTuning(), 1, Path("/p"), 2)["primary_conninfo"]


def test_a_backslash_survives_a_properties_file() -> None:
    assert properties({"a": r"x\.y"}) == "a=x\\\\.y\n"


@pytest.mark.parametrize(("system", "machine"), [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")])
def test_a_platform_with_packages_is_accepted(system: str, machine: str) -> None:
    check_platform(system, machine)


@pytest.mark.parametrize(("system", "machine"), [("win32", "AMD64"), ("linux", "riscv64")])
def test_another_platform_is_named(system: str, machine: str) -> None:
    with pytest.raises(UnsupportedPlatform, match=machine):
        check_platform(system, machine)


def test_too_little_space_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match="MiB are needed"):
        check_space(tmp_path, needed=1 << 60)


def test_a_full_disk_is_told_from_other_errors(tmp_path: Path) -> None:
    other = OSError(errno.EACCES, "no")
    assert isinstance(from_os_error(OSError(errno.ENOSPC, "full"), tmp_path), DiskFull)
    assert from_os_error(other, tmp_path) is other


def test_a_failed_part_shows_the_end_of_its_log_and_a_remedy() -> None:
    text = str(PartFailed("kafka", "ended by itself with status 1", Path("/logs/kafka.log"), "one\ntwo"))
    assert "    | two" in text
    assert "remedy: read /logs/kafka.log" in text


def test_the_outermost_closed_folder_is_found(tmp_path: Path) -> None:
    for folder in tmp_path.parents:
        if folder.stat().st_mode & 0o001 == 0:
            assert closed_ancestor(tmp_path) == next(
                f for f in reversed(tmp_path.parents) if not f.stat().st_mode & 0o001
            )
            return
    (tmp_path / "closed").mkdir(mode=0o700)
    assert closed_ancestor(tmp_path / "closed") == tmp_path / "closed"
