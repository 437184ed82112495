"""Loading, against a platform in memory behind the real contract."""

import io
import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from atlas_cli.commands.load import KEPT_HERE
from atlas_cli.loading import Interrupted, Ledger, LedgerFault, Options, PlainProgress, Report, RichProgress, load
from atlas_cli.sets import SETS, inputs_of, read_batches
from atlas_client import AtlasClient
from rich.console import Console
from unit.cli.platform import Identity, Memory, platform

DEFAULT = Options()


@pytest.fixture
async def memory() -> Memory:
    return Memory()


@pytest.fixture
async def client(memory: Memory) -> AsyncIterator[AtlasClient]:
    async with platform(memory) as target, AtlasClient.connect(ingest=target, query=target) as client:
        yield client


async def loaded(
    client: AtlasClient, name: str, path: Path | None = None, options: Options = DEFAULT
) -> tuple[Report, str]:
    data_set, told = SETS[name], io.StringIO()
    inputs = inputs_of(data_set, [KEPT_HERE / name.removesuffix("-rows")])
    with Ledger(path) as ledger:
        report = await load(client, data_set, inputs, ledger, PlainProgress(told), options=options)
    return report, told.getvalue()


def expected(name: str) -> dict[Identity, tuple[object, str]]:
    data_set = SETS[name]
    return {
        (batch.tenant, write.entity_key, write.attribute_key, write.event_time_us): (write.value, write.source_type)
        for batch in read_batches(data_set, inputs_of(data_set, [KEPT_HERE / name.removesuffix("-rows")]))
        for write in batch.writes
    }


@pytest.mark.parametrize("name", ["metar", "snmp", "snmp-rows", "azure"])
async def test_what_is_stored_is_what_the_loading_rule_says(client: AtlasClient, memory: Memory, name: str) -> None:
    report, told = await loaded(client, name)
    assert memory.values == expected(name)
    assert report.stored + report.superseded == report.writes
    assert report.tenants == set(memory.tenants)
    assert not report.refused
    assert report.token == "a1.1.ff"
    assert "100%" in told
    assert memory.most_in_flight <= 8


async def test_a_later_delivery_wins_even_when_answers_are_lost(client: AtlasClient, memory: Memory) -> None:
    memory.stumble_every = 3
    report, _ = await loaded(client, "metar", options=Options(batch_writes=500))
    assert memory.values == expected("metar")
    assert memory.repeats > 0
    assert report.writes == sum(len(batch.writes) for batch in read_batches(SETS["metar"], kept("metar")))


def kept(name: str) -> list:  # type: ignore[type-arg]
    return inputs_of(SETS[name], [KEPT_HERE / name])


@pytest.mark.parametrize("name", ["metar", "azure"])
async def test_a_load_that_was_stopped_goes_on_and_counts_nothing_twice(
    client: AtlasClient, memory: Memory, tmp_path: Path, name: str
) -> None:
    file, options = tmp_path / "load.json", Options(batch_writes=500, patience=timedelta(0))
    for stop in (7, 20):
        memory.fail_after = stop
        with pytest.raises(Interrupted, match="Run the same command again"):
            await loaded(client, name, file, options)
        # A kill may lose the newest notes: the platform then recognises the batches by their request ids.
        notes = json.loads(file.read_text())
        notes["done"] = random.Random(stop).sample(notes["done"], len(notes["done"]) // 2)
        file.write_text(json.dumps(notes))
    memory.fail_after = None
    report, _ = await loaded(client, name, file, options)
    assert memory.values == expected(name)
    assert report.skipped
    assert report.repeated
    assert memory.stored_batches == len(memory.answers) == len(list(read_batches(SETS[name], kept(name), 500)))
    calls = memory.calls
    again, _ = await loaded(client, name, file, options)
    assert (again.skipped, again.stored, memory.calls) == (report.writes, 0, calls)


async def test_notes_of_another_platform_skip_nothing(memory: Memory, tmp_path: Path) -> None:
    for created_us in (1, 2):
        fresh = Memory(created_us=created_us)
        async with platform(fresh) as target, AtlasClient.connect(target, target) as client:
            report, _ = await loaded(client, "snmp", tmp_path / "load.json")
            assert report.skipped == 0
            assert fresh.values == expected("snmp")


async def test_refused_values_are_told_by_reason_and_the_others_stored(client: AtlasClient, memory: Memory) -> None:
    memory.refuse = "ATTRIBUTE_QUOTA"
    report, _ = await loaded(client, "snmp")
    assert report.refused["ATTRIBUTE_QUOTA"] == report.batches
    assert report.stored + report.superseded + report.refused.total() == report.writes
    assert any("not this one" in line for line in report.lines())


async def test_notes_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "load.json").write_text("{")
    with pytest.raises(LedgerFault, match=r"load\.json: cannot be read"), Ledger(tmp_path / "load.json"):
        pass


def test_a_terminal_shows_a_bar_with_values_and_time_left() -> None:
    screen = io.StringIO()
    bar = RichProgress(Console(file=screen, force_terminal=True, width=140))
    with bar.shown("METAR weather reports", 100):
        bar.advance(40, 1_500)
        bar.advance(30, 500)
        bar.advance(100, 1)
    assert "METAR weather reports" in screen.getvalue()
    assert "2,001 values" in screen.getvalue()
    assert "100%" in screen.getvalue()
