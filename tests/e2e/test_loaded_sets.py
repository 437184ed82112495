"""The parts of the four real sets that come with the repository, loaded through gRPC and counted in every copy."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from atlas_cli.copies import Held, count_copies, count_corrected
from atlas_cli.loading import Ledger, PlainProgress, Report, load
from atlas_cli.sets import SETS, inputs_of, read_batches
from atlas_cli.sets.totals import count
from atlas_client import AtlasClient, Policy, Requirement, Source, UseCase
from atlas_local.launch import Launched
from atlaskit.model import Scalar

PATIENCE = timedelta(minutes=2)
NAMES = ["metar", "backblaze", "snmp", "azure"]


def folder(root: Path, name: str) -> Path:
    return root / "libs" / "atlas_cli" / "data" / name


@pytest.fixture(scope="module")
async def reports(client: AtlasClient, root: Path) -> dict[str, Report]:
    """Every set, loaded once."""
    done = {}
    for name in NAMES:
        with Ledger(None) as ledger:
            progress = PlainProgress(io.StringIO())
            done[name] = await load(client, SETS[name], inputs_of(SETS[name], [folder(root, name)]), ledger, progress)
    return done


async def until_everywhere(client: AtlasClient, token: str) -> None:
    tenant = (await client.list_tenants())[0]
    for source in (Source.REPLICA, Source.OLAP):
        await client.wait_for_position(tenant.tenant_id, token, source, timeout=PATIENCE)


@pytest.mark.parametrize("name", NAMES)
async def test_every_copy_holds_exactly_the_values_of_the_files(
    atlas: Launched, client: AtlasClient, reports: dict[str, Report], root: Path, name: str
) -> None:
    report = reports[name]
    totals = count(read_batches(SETS[name], inputs_of(SETS[name], [folder(root, name)])))
    assert report.refused.total() == 0
    assert report.writes == totals.delivered
    await until_everywhere(client, report.token)
    stack = atlas.stack
    url = f"{stack.clickhouse_url}/atlas"
    held = await count_copies(stack.primary_dsn(), stack.replica_dsn(), url, f"{name}/")
    expected = Held(totals.values, totals.observations, totals.entities, totals.tenants, totals.keys)
    assert held == {"primary": expected, "replica": expected, "olap": expected}


async def test_an_observation_that_changed_when_it_came_again_counts_as_corrected(
    atlas: Launched, client: AtlasClient, reports: dict[str, Report], root: Path
) -> None:
    seen: dict[tuple[str, str, int, str], set[tuple[int, Scalar]]] = {}
    for batch in read_batches(SETS["metar"], inputs_of(SETS["metar"], [folder(root, "metar")])):
        # A batch keeps the last delivery of an identity.
        last = {
            (batch.tenant, w.entity_key, w.event_time_us, w.attribute_key): (w.value_type, w.value)
            for w in batch.writes
        }
        for identity, value in last.items():
            seen.setdefault(identity, set()).add(value)
    expected = len({identity[:3] for identity, values in seen.items() if len(values) > 1})
    assert expected > 0
    await until_everywhere(client, reports["metar"].token)
    for dsn in (atlas.stack.primary_dsn(), atlas.stack.replica_dsn()):
        assert await count_corrected(dsn, "metar/") == expected


async def test_one_day_of_disks_is_as_many_values_as_published(reports: dict[str, Report]) -> None:
    # 21,645 drives reported on 2013-05-09, with eight filled cells each.
    assert reports["backblaze"].stored == 21_645 * 8


@pytest.mark.parametrize("source", [Source.PRIMARY, Source.REPLICA, Source.OLAP])
async def test_the_latest_report_of_katl_is_the_published_one(
    client: AtlasClient, reports: dict[str, Report], source: Source
) -> None:
    tenant = next(tenant for tenant in await client.list_tenants() if tenant.name == "metar/K")
    wanted = Requirement(
        use_case=UseCase.ANALYTICS,
        policy=Policy.WAIT,
        at_least_token=reports["metar"].token,
        only_source=source,
    )
    answer = await client.get_entity(tenant.tenant_id, "KATL", freshness=wanted, timeout=PATIENCE)
    values = {key: observed.value for key, observed in answer.entity.values.items()}
    expected = {
        "temp_c": 9.4,
        "dewpoint_c": 3.9,
        "wind_speed_kt": 3,
        "visibility_statute_mi": 10.0,
        "flight_category": "VFR",
        "metar_type": "METAR",
    }
    assert {key: values[key] for key in expected} == expected
    assert values["altim_in_hg"] == pytest.approx(30.200787, rel=1e-6)
    assert answer.entity.values["temp_c"].event_time == datetime(2022, 10, 23, 10, 52, tzinfo=UTC)
