"""What the demo shows once the data is in: answers with their certificates, own writes read back, one trace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from atlas_client import AtlasClient, EntityAnswer, Policy, Requirement, Source, UseCase, Write, Written
from atlas_local.launch import Launched
from rich.console import Console
from rich.table import Table

from atlas_cli.traces import Span, wait_for_span

STATION = "KATL"
TENANT = "metar/K"
OWN = "demo/own-writes"
USE_CASES = (UseCase.DASHBOARD, UseCase.OPERATIONAL_REPORT, UseCase.ANALYTICS)
SOURCES = (Source.PRIMARY, Source.REPLICA, Source.OLAP)
_PATIENCE = timedelta(seconds=180)  # for ClickHouse to take in all that was loaded, on a busy machine


@dataclass(frozen=True, slots=True)
class Scene:
    """What every part of the demo works with."""

    console: Console
    atlas: AtlasClient
    running: Launched


async def show_reads(scene: Scene, tenant_id: int, token: str) -> list[EntityAnswer]:
    """Read one station under three use cases, each at least as new as `token`, and print source, bound and token."""
    table = Table(title=f"{STATION}, read under three use cases", title_justify="left")
    for heading in ("use case", "source", "proven staleness", "temp_c", "observed", "session token"):
        table.add_column(heading, overflow="fold")
    answers, atlas = [], scene.atlas.for_tenant(tenant_id)
    for use_case in USE_CASES:
        requirement = Requirement(use_case=use_case, policy=Policy.WAIT, at_least_token=token, want_session_token=True)
        answer = await atlas.get_entity(tenant_id, STATION, freshness=requirement, timeout=_PATIENCE)
        table.add_row(use_case.name, *_row(answer))
        answers.append(answer)
    scene.console.print(table)
    for answer in answers:
        scene.console.print(f"  {answer.freshness}", highlight=False)
    return answers


def _row(answer: EntityAnswer) -> tuple[str, ...]:
    certificate, value = answer.freshness, answer.entity.values["temp_c"]
    bound = "unknown" if certificate.staleness is None else f"{certificate.staleness.total_seconds() * 1000:.1f} ms"
    return (
        certificate.source,
        bound,
        str(value.value),
        f"{value.event_time:%Y-%m-%d %H:%MZ}",
        certificate.session_token,
    )


async def show_own_writes(scene: Scene) -> Written:
    """Write a value for each source, read it back from there by its token at once, and return the last write."""
    tenant = await scene.atlas.create_tenant(OWN)
    atlas = scene.atlas.for_tenant(tenant.tenant_id)
    scene.console.print("\n[bold]Read your own write, from each copy[/bold]")
    for number, source in enumerate(SOURCES, start=1):
        row = Write("sensor-1", "reading", number, datetime.now(UTC), asset_type="sensor")
        written = await atlas.write_rows(tenant.tenant_id, [row])
        wanted = Requirement(
            use_case=UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=written.token, only_source=source
        )
        answer = await atlas.get_entity(tenant.tenant_id, "sensor-1", freshness=wanted, timeout=_PATIENCE)
        read = answer.entity.values["reading"].value
        if read != number:
            raise AssertionError(f"wrote {number} and read {read!r} from {source}: {answer.freshness}")
        scene.console.print(
            f"  wrote {number}, token {written.token}; read {read!r} from {answer.freshness}", highlight=False
        )
    return written


async def show_trace(scene: Scene, written: Written) -> list[Span]:
    """Print the hops of the write's trace with their times, once the last of them is recorded."""
    files = scene.running.platform.trace_files
    spans = await wait_for_span(written.trace_id, "olap.visible", files, _PATIENCE)
    scene.console.print(f"\n[bold]Trace {written.trace_id}[/bold]: one write, from the call to visible in ClickHouse")
    scene.console.print(hops(spans))
    return spans


def hops(spans: Iterable[Span]) -> Table:
    """Return the spans as a table: where, what, when after the first one began, for how long."""
    table = Table()
    for heading in ("service", "hop"):
        table.add_column(heading)
    for heading in ("begins after", "takes"):
        table.add_column(heading, justify="right")
    known = list(spans)
    for span in known:
        after = (span.start_ns - known[0].start_ns) / 1e6
        table.add_row(span.service, span.name, f"{after:.1f} ms", f"{span.took.total_seconds() * 1000:.1f} ms")
    return table
