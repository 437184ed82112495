"""Where the driver's errors end: each becomes one of Atlas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from atlaskit.errors import AtlasError, Unavailable


class OffsetLost(AtlasError):
    """Kafka no longer has, or does not have any more, the place that was to be read."""

    reason = "OFFSET_LOST"


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise the driver's errors in the block as those of Atlas; `doing` says in the text what was being done."""
    try:
        yield
    except OffsetOutOfRangeError as lost:
        raise OffsetLost(f"{doing}: {lost}") from lost
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"{doing}: Kafka is not available ({type(error).__name__}: {error})") from error
