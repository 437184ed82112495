"""`atlas load` and `atlas verify-data`."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from atlas_client import AtlasClient

import atlas_cli
from atlas_cli.commands.options import CALLER, Ingest
from atlas_cli.commands.running import EXIT_REFUSED, complete, fail
from atlas_cli.loading import Ledger, Options, Report, load, progress_for
from atlas_cli.sets import SETS, DataSet, inputs_of, read_batches
from atlas_cli.sets.totals import FOLDERS, WHOLE, count

KEPT_HERE = Path(atlas_cli.__file__).parent / "data"
STATE = Path(".atlas/load")


def chosen(name: str) -> DataSet:
    """Return the set of this name. Ends the process with status 2 when there is none."""
    if name not in SETS:
        raise fail(f"no set {name!r}; there are {', '.join(sorted(SETS))}", 2)
    return SETS[name]


def load_command(
    *,
    set_name: Annotated[str, typer.Argument(metavar="SET", help="azure, backblaze, metar, snmp or snmp-rows")],
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files or folders of the set; none: the part kept here")
    ] = None,
    ingest: Ingest = "127.0.0.1:50051",
    in_flight: Annotated[int, typer.Option(min=1, max=64, help="Batches sent and not yet answered, at most")] = 8,
    batch: Annotated[int, typer.Option(min=1, max=20_000, help="Values in one batch, at most")] = 5_000,
    patience: Annotated[float, typer.Option(min=0, help="Seconds one batch is tried before the load gives up")] = 90.0,
    resume_file: Annotated[
        Path | None, typer.Option(help="Where it is kept what is done; default: .atlas/load/SET.json")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Send everything, whatever an earlier run did")] = False,
    key_quota: Annotated[
        int | None, typer.Option(min=1, help="Attribute keys of each tenant that is registered; default: the set's")
    ] = None,
) -> None:
    """Load a public telemetry set.

    Run again after a stop or a failure, it goes on where it was, and nothing counts twice. Refused values are told by
    reason. Ends with 0 when all is stored, 3 when values were refused, 4 when it had to stop before the end.
    """
    data_set = chosen(set_name)
    if key_quota is not None:
        data_set = replace(data_set, key_quota=key_quota)
    options = Options(in_flight=in_flight, batch_writes=batch, patience=timedelta(seconds=patience))
    path = None if again else resume_file or STATE / f"{data_set.name}.json"
    report = complete(loaded(data_set, paths or default_paths(data_set), ingest, path, options), ingest)
    for line in report.lines():
        print(line)
    if report.refused:
        raise typer.Exit(EXIT_REFUSED)


def default_paths(data_set: DataSet) -> list[Path]:
    """Return the part of a set that comes with the program."""
    return [KEPT_HERE / data_set.name.removesuffix("-rows")]


async def loaded(data_set: DataSet, paths: list[Path], ingest: str, resume: Path | None, options: Options) -> Report:
    """Load these paths and return what was done; the progress goes to standard error."""
    inputs = inputs_of(data_set, paths)
    with Ledger(resume) as ledger:
        async with AtlasClient.connect(ingest=ingest, query=ingest, caller=CALLER) as client:
            return await load(client, data_set, inputs, ledger, progress_for(sys.stderr), options=options)


def verify_data_command(
    *,
    data: Annotated[Path, typer.Argument(help="Folder with the whole sets, one folder each")],
    ingest: Annotated[str, typer.Option(help="Load them there too; empty: only read and count")] = "",
) -> None:
    """Read the whole sets, compare their totals with those that are known, and load them if told where to.

    Ends with 1 when a total differs, 3 when a value was refused.
    """
    wrong, refused = [], 0
    for name, folder in FOLDERS.items():
        data_set = SETS[name]
        root = next((data / one for one in (folder, name) if (data / one).is_dir()), None)
        if root is None:
            raise fail(f"{data}: no folder {folder} in it; pass the folder that holds {', '.join(FOLDERS.values())}")
        totals = count(read_batches(data_set, inputs_of(data_set, [root])))
        print(
            f"{name}: {totals.values:,} values of {totals.entities:,} entities in {totals.tenants} tenants", flush=True
        )
        if totals != WHOLE[name]:
            wrong.append(f"{name}: {totals} is not {WHOLE[name]}")
        if ingest:
            report = complete(loaded(data_set, [root], ingest, STATE / f"whole-{name}.json", Options()), ingest)
            print("\n".join(f"    {line}" for line in report.lines()), flush=True)
            refused += report.refused.total()
            if report.writes != totals.delivered:
                wrong.append(f"{name}: {report.writes:,} writes were answered, not {totals.delivered:,}")
    if wrong:
        raise fail("\n".join(wrong))
    if refused:
        raise typer.Exit(EXIT_REFUSED)
