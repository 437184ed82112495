"""Which number an epoch gets: above all that were ever used, and owned by the first record that claims it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atlaskit.errors import AtlasError
from atlaskit.kafka.epochs import EpochRecord
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.epochs import Forks, RegisteredEpoch

GREATEST = 255


class EpochsUsedUp(AtlasError):
    """All 255 numbers of epochs are used; no write is accepted on a new timeline. The platform must be set up anew."""

    reason = "EPOCHS_USED_UP"


def owner_of(records: Sequence[EpochRecord], epoch: int) -> SourceIdentity | None:
    """Return who owns a number: the first record with it decides. None: nobody."""
    return next((record.identity for record in records if record.epoch == epoch), None)


def withdrawn_in(records: Sequence[EpochRecord], identity: SourceIdentity) -> str:
    """Return why an epoch of this identity was withdrawn, or an empty text: none was."""
    return next((record.withdrawn for record in records if record.identity == identity and record.withdrawn), "")


def ancestors_of(
    identity: SourceIdentity, forks: Forks | None, registered: Mapping[SourceIdentity, RegisteredEpoch]
) -> dict[int, Lsn]:
    """Return the epochs of earlier timelines of a history with the position up to which each is part of it.

    A withdrawn one is left out: under its name there were two histories, which its positions do not tell apart.
    """
    known = {timeline: registered.get(SourceIdentity(identity.system_identifier, timeline)) for timeline in forks or ()}
    return {
        epoch.number: position
        for timeline, position in (forks or {}).items()
        if (epoch := known[timeline]) is not None and not epoch.withdrawn
    }


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
