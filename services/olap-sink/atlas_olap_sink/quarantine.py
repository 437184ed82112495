"""Events that cannot be stored, kept where a person finds them."""

from __future__ import annotations

import base64
from collections import OrderedDict
from pathlib import Path

import orjson
import structlog
from atlaskit.cdc.envelope import Fault, Segment

from atlas_olap_sink.metrics import SinkMetrics

log = structlog.get_logger(__name__)

MAX_BYTES = 64 * 1024 * 1024  # of the file; beyond it only the log tells
_REMEMBERED = 10_000


class Quarantine:
    """Writes each fault once to a file of JSON lines, if there is one, and always to the log."""

    def __init__(self, path: Path | None, metrics: SinkMetrics | None = None) -> None:
        self._metrics = metrics or SinkMetrics()
        self._path = path
        self._told: OrderedDict[tuple[str, int, int], None] = OrderedDict()

    def keep(self, segment: Segment) -> None:
        """Keep the faults of a segment; those seen before (it was read again) are not repeated."""
        for fault in segment.faults:
            place = (segment.topic.name, segment.partition, fault.offset)
            if place in self._told:
                continue
            self._told[place] = None
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
            self._metrics.quarantined(segment.topic.table)
            log.error("event quarantined, its shard is frozen", topic=place[0], partition=place[1], **_fields(fault))
            self._write(place, fault)

    def _write(self, place: tuple[str, int, int], fault: Fault) -> None:
        if self._path is None or (self._path.exists() and self._path.stat().st_size > MAX_BYTES):
            return
        value = None if fault.value is None else base64.b64encode(fault.value).decode()
        line = {"topic": place[0], "partition": place[1], **_fields(fault), "value_base64": value}
        try:
            with self._path.open("ab") as file:
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        except OSError as error:
            # Nothing is lost: the shard stays frozen before this offset, and Kafka still has the event.
            log.error("quarantine file cannot be written", path=str(self._path), problem=str(error))


def _fields(fault: Fault) -> dict[str, object]:
    return {"offset": fault.offset, "code": fault.code, "reason": fault.reason}
