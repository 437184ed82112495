"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

CALLER = "atlas-cli"  # who the services are told calls

Ingest = Annotated[str, typer.Option(envvar="ATLAS_INGEST_TARGET", help="Address of the ingest service, host:port")]
Query = Annotated[str, typer.Option(envvar="ATLAS_QUERY_TARGET", help="Address of the query router, host:port")]
Lag = Annotated[str, typer.Option(envvar="ATLAS_LAG_TARGET", help="Address of the lag monitor, host:port")]
Timeout = Annotated[float, typer.Option(min=0.001, max=300.0, help="Seconds the answer may take")]
