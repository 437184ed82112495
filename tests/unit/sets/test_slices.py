"""The parts of the sets in the repository, against counts by plain rules that share no code with the readers."""

import bz2
import csv
import gzip
import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import atlas_cli
import pytest
from atlas_cli.sets import SETS, Batch, DataFault, Write, inputs_of, read_batches
from atlas_cli.sets.totals import WHOLE, Totals, count
from atlaskit.model import ValueType

DATA = Path(atlas_cli.__file__).parent / "data"
Identity = tuple[str, str, str, int]


def batches(name: str) -> Iterator[Batch]:
    data_set = SETS[name]
    return read_batches(data_set, inputs_of(data_set, [DATA / name.removesuffix("-rows")]))


def last_wins(name: str) -> dict[Identity, Write]:
    return {
        (batch.tenant, write.entity_key, write.attribute_key, write.event_time_us): write
        for batch in batches(name)
        for write in batch.writes
    }


def test_every_filled_cell_of_a_drive_day_is_one_value() -> None:
    lines = gzip.decompress((DATA / "backblaze/2013-05-09.csv.gz").read_bytes()).decode().splitlines()[1:]
    filled = sum(len([cell for cell in line.split(",") if cell]) - 2 for line in lines)
    assert count(batches("backblaze")) == Totals(filled, filled, len(lines), len(lines), 6, 8)
    writes = last_wins("backblaze")
    assert sum(write.value is True for write in writes.values()) == 7  # the failures of that day
    capacity = sum(int(write.value) for key, write in writes.items() if key[2] == "capacity_bytes")
    assert capacity == 56_112_620_972_728_320


def test_a_report_that_comes_again_corrected_replaces_the_first() -> None:
    newest: dict[tuple[str, str], list[str]] = {}
    cells = 0
    for file in sorted((DATA / "metar").glob("*.gz")):
        text = gzip.decompress(file.read_bytes()).decode().replace("\r", "")
        rows = [row for row in csv.reader(text[text.index("raw_text") :].split("\n")) if row][1:]
        cells += sum(len([cell for cell in row if cell]) - 2 for row in rows)
        newest |= {(row[1], row[2]): row for row in rows}
    writes = last_wins("metar")
    assert count(batches("metar")).delivered == cells
    assert {(key[1], key[3]): write.value for key, write in writes.items() if key[2] == "raw_text"} == {
        (station, _seconds(time) * 1_000_000): row[0] for (station, time), row in newest.items()
    }
    assert len(writes) == sum(len([cell for cell in row if cell]) - 2 for row in newest.values())
    kinds = {write.value_type for key, write in writes.items() if key[2].startswith("cloud_base_ft_agl_")}
    assert kinds == {ValueType.INT64}


def _seconds(text: str) -> int:
    day, hour, minute = (int(part) for part in re.fullmatch(r"2022-10-(\d+)T(\d+):(\d+):00Z", text).groups())  # type: ignore[union-attr]
    return 1_666_310_400 + (day - 21) * 86_400 + hour * 3_600 + minute * 60


def test_the_station_written_twice_in_a_snapshot_has_two_deliveries_and_one_value() -> None:
    delivered = [write for batch in batches("metar") for write in batch.writes if write.entity_key == "KHQG"]
    raw = [write for write in delivered if write.attribute_key == "raw_text"]
    assert len(raw) == 4
    assert len({write.event_time_us for write in raw}) <= 2


def test_the_last_line_of_an_oid_wins_with_its_type() -> None:
    for file in sorted((DATA / "snmp").rglob("*.bz2")):
        device = file.relative_to(DATA / "snmp").as_posix().removesuffix(".snmprec.bz2")
        lines = re.findall(rb"(?m)^([0-9.]+)\|([0-9x]+)\|(.*?)\r?$", bz2.decompress(file.read_bytes()))
        plain = {oid.decode(): tag.decode() for oid, tag, _ in lines}
        mine = {key[2]: write.source_type for key, write in last_wins("snmp").items() if key[1] == device}
        assert mine == {oid: NAMES[tag] for oid, tag in plain.items()}


def test_counters_above_the_signed_range_and_octets_that_are_no_text_stay_as_they_are() -> None:
    writes = last_wins("snmp").values()
    large = [write for write in writes if write.value_type is ValueType.UINT64 and int(write.value) >= 2**63]
    assert large
    octets = [write.value for write in writes if isinstance(write.value, bytes)]
    assert any(_no_text(value) for value in octets)
    assert b"" in octets
    (described,) = [
        write.value
        for key, write in last_wins("snmp").items()
        if key[1:3] == ("network/router/cisco-unmarked-0", "1.3.6.1.2.1.1.1.0")
    ]
    assert isinstance(described, bytes)
    assert described.startswith(b"Cisco")


def _no_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return True
    return False


def test_rows_of_a_table_are_entities_when_a_walk_is_read_by_row() -> None:
    by_row, by_device = count(batches("snmp-rows")), count(batches("snmp"))
    assert (by_row.values, by_row.tenants) == (by_device.values, by_device.tenants)
    assert by_row.entities > 1_000 > by_device.entities
    assert by_row.keys < by_device.keys
    assert all(batch.tenant.startswith("snmp-rows/") for batch in batches("snmp-rows"))


def test_every_row_of_an_archive_is_one_value_of_the_test_named_by_its_path() -> None:
    rows, keys, observed = 0, set(), set()
    for file in sorted((DATA / "azure").glob("*.tar.gz")):
        with tarfile.open(file) as archive:
            for member in archive.getmembers():
                body = archive.extractfile(member).read().splitlines()[1:]  # type: ignore[union-attr]
                rows += len(body)
                observed |= {(file, *line.split(b",")[2:]) for line in body}  # when it began, and the machine
                if body:
                    keys.add("/".join(re.findall(r"(?:suite|name|unit)=([^/]*)", member.name[:-4])))
    assert count(batches("azure")) == Totals(rows, rows, len(observed), 6, 2, len(keys))
    assert {write.attribute_key for write in last_wins("azure").values()} == keys
    newest = max(key[3] for key in last_wins("azure") if key[:3] == ("azure/westus2-B8ms", "0", EVENTS_PER_SECOND))
    assert last_wins("azure")["azure/westus2-B8ms", "0", EVENTS_PER_SECOND, newest].value == 6811.01


NAMES = {"2": "int32", "4": "octets", "4x": "octets", "6": "oid", "64": "ipv4", "64x": "ipv4"}
NAMES |= {"65": "counter32", "66": "gauge32", "67": "timeticks", "68x": "opaque", "70": "counter64"}
EVENTS_PER_SECOND = "Sysbench/Test:_CPU/Events Per Second"


@pytest.mark.parametrize("name", sorted(SETS))
def test_the_same_files_give_the_same_batches_in_the_same_order(name: str) -> None:
    first, second = ([hashlib.sha256(repr(batch).encode()).digest() for batch in batches(name)] for _ in range(2))
    assert first == second
    numbers: dict[tuple[str, str], int] = {}
    for batch in batches(name):
        assert batch.number == numbers.get((batch.file, batch.tenant), 0)
        assert 1 <= len(batch.writes) <= 5_000
        numbers[batch.file, batch.tenant] = batch.number + 1


@pytest.mark.parametrize("name", sorted(SETS))
def test_reading_ends_when_every_byte_of_every_file_was_read(name: str) -> None:
    total = sum(file.size for file in inputs_of(SETS[name], [DATA / name.removesuffix("-rows")]))
    marks = [batch.bytes_read for batch in batches(name)]
    assert marks == sorted(marks)
    assert marks[-1] == total


def test_a_status_before_the_header_is_skipped() -> None:
    text = "No errors\nNo warnings\n\nraw_text,station_id,observation_time,temp_c\nX,KABC,2022-10-23T00:00:00Z,1.5\n"
    found = list(SETS["metar"].read(io.BytesIO(gzip.compress(text.encode())), "one.csv.gz"))
    assert [(item.tenant, item.write.attribute_key, item.write.value) for item in found] == [
        ("metar/K", "raw_text", "X"),
        ("metar/K", "temp_c", 1.5),
    ]


def test_a_file_that_is_not_of_the_set_is_refused_with_its_name_and_place() -> None:
    with pytest.raises(DataFault, match=r"one\.csv\.gz: no header line"):
        list(SETS["metar"].read(io.BytesIO(gzip.compress(b"a,b\n")), "one.csv.gz"))
    broken = b"date,serial_number,model,failure\n2013-05-09,A,ST1,maybe\n"
    with pytest.raises(DataFault, match=r"one\.csv\.gz: row 2"):
        list(SETS["backblaze"].read(io.BytesIO(gzip.compress(broken)), "one.csv.gz"))
    with pytest.raises(DataFault, match="no file of azure"):
        inputs_of(SETS["azure"], [DATA / "snmp"])
    with pytest.raises(DataFault, match="is a file; give the folder"):
        inputs_of(SETS["snmp"], [DATA / "snmp/camera/hikvision.snmprec.bz2"])


@pytest.mark.parametrize(
    ("name", "folder"),
    [("metar", "metar"), ("snmp", "snmp-walks"), ("snmp-rows", "snmp-walks"), ("azure", "azure-vm-noise"),
     ("backblaze", "backblaze-2013")],
)  # fmt: skip
def test_a_whole_set_has_the_totals_it_is_known_to_have(name: str, folder: str) -> None:
    if "ATLAS_TEST_DATA" not in os.environ:
        pytest.skip("set ATLAS_TEST_DATA to the folder of the whole sets")
    inputs = inputs_of(SETS[name], [Path(os.environ["ATLAS_TEST_DATA"]) / folder])
    assert count(read_batches(SETS[name], inputs)) == WHOLE[name]
