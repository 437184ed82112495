"""Where the driver's errors end: each becomes one of Atlas."""

from __future__ import annotations

from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from atlaskit.errors import AtlasError, Translated, Unavailable


class OffsetLost(AtlasError):
    """Kafka no longer has, or does not have any more, the place that was to be read."""

    reason = "OFFSET_LOST"


def named(error: Exception, doing: str) -> AtlasError | None:
    """Return the error of Atlas for one of the driver, or None if it is none of the driver's."""
    if isinstance(error, OffsetOutOfRangeError):
        return OffsetLost(f"{doing}: {error}")
    if isinstance(error, KafkaError | OSError | TimeoutError):
        return Unavailable(f"{doing}: Kafka is not available ({type(error).__name__}: {error})")
    return None


def translated(doing: str) -> Translated:
    """Raise the driver's errors in the block as those of Atlas; `doing` says in the text what was being done."""
    return Translated(named, doing)
