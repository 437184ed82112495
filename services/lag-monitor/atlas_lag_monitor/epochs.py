"""Which number an epoch gets: above all that were ever used, and owned by the first record that claims it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atlaskit.errors import AtlasError
from atlaskit.kafka.epochs import EpochRecord
from atlaskit.position import SourceIdentity

GREATEST = 255


class EpochsUsedUp(AtlasError):
    """All 255 numbers of epochs are used; no write is accepted on a new timeline. The platform must be set up anew."""

    reason = "EPOCHS_USED_UP"


def owner_of(records: Sequence[EpochRecord], epoch: int) -> SourceIdentity | None:
    """Return who owns a number: the first record with it decides. None: nobody."""
    return next((record.identity for record in records if record.epoch == epoch), None)


def number_for(
    identity: SourceIdentity, records: Sequence[EpochRecord], registered: Mapping[SourceIdentity, int], olap: int
) -> int:
    """Return the number to claim: what this identity owns if nothing used it since, else the next above all.

    Raises EpochsUsedUp.
    """
    stored = max((*registered.values(), olap), default=0)
    owned = [record.epoch for record in records if owner_of(records, record.epoch) == identity]
    if owned and max(owned) > stored:
        return max(owned)
    number = 1 + max((stored, *(record.epoch for record in records)))
    if number > GREATEST:
        raise EpochsUsedUp(f"epochs: {GREATEST} numbers are used up")
    return number
