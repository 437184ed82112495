"""Readers of four public telemetry sets, from their files as published to writes in the terms of the platform."""

from atlas_cli.sets.azure import AZURE
from atlas_cli.sets.backblaze import BACKBLAZE
from atlas_cli.sets.batches import Batch, DataFault, DataSet, Input, Write, inputs_of, read_batches
from atlas_cli.sets.metar import METAR
from atlas_cli.sets.snmp import SNMP, SNMP_ROWS

SETS = {data_set.name: data_set for data_set in (AZURE, BACKBLAZE, METAR, SNMP, SNMP_ROWS)}

__all__ = ["SETS", "Batch", "DataFault", "DataSet", "Input", "Write", "inputs_of", "read_batches"]
