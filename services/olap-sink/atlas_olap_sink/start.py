"""Where each partition begins when the sink starts, and where it goes back to. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from atlaskit.kafka.consumer import Extent

from atlas_olap_sink.advance import Progress, rewound
from atlas_olap_sink.ledger import Basis
from atlas_olap_sink.state import Mark, State, beyond_doubt, in_doubt


@dataclass(frozen=True, slots=True)
class Known:
    """What there is to start a partition from.

    `state` None: none was kept. `proven`: ClickHouse vouches for a watermark of it. `stored`: it ever had one there."""

    state: State | None
    extent: Extent
    proven: bool
    stored: bool

    @property
    def usable(self) -> State | None:
        """Return the state unless the copy is new or gone: then nothing of before counts."""
        return self.state if self.proven or self.stored else None


def basis_of(known: Collection[Known], ledger: Extent) -> Basis | None:
    """Return the ledger to begin with, or None if Kafka no longer has what is needed: then PostgreSQL has to tell.

    It is the earliest that one of the partitions balanced with; for one that never did, that is the beginning.
    """
    states = [one.usable for one in known]
    bases = [Basis() if state is None else state.ledger for state in states]
    basis = min(bases, key=lambda one: one.offset, default=Basis())
    return basis if ledger.begin <= basis.offset <= ledger.end else None


def starting(known: Known, *, told: bool) -> Progress:
    """Return the progress of a partition at a start. `told`: PostgreSQL had to tell the ledger, so a snapshot is owed.

    A proven partition goes on where it was, another one at the place beyond doubt, or at the beginning.
    """
    state, extent = known.usable, known.extent
    if state is None or not extent.begin <= state.offset <= extent.end:
        # The audit against the ledger finds what is missing behind the state, not what a restart lost before it.
        fresh = Progress(extent.begin, extent.begin)
        if told:
            return replace(fresh, owes="Kafka no longer has the ledger that its rows balance with")
        if state is not None and not known.proven:
            lost = "the server may have lost rows that were inserted shortly before it was restarted"
            return replace(fresh, owes=f"{lost}, and Kafka, from {extent.begin} to {extent.end}, has none of them")
        return fresh
    held = Progress(state.offset, state.offset)
    if told:
        held = replace(held, owes="Kafka no longer has the ledger that its rows balance with")
    if known.proven:
        return held
    if any(repair.key is None for repair in in_doubt(state.repairs, state.at)):
        # Its rows did not come from Kafka, so reading again does not bring them back.
        held = replace(held, owes="the server may have lost a snapshot that was taken shortly before it was restarted")
    return replace(again(held, state.marks, state.at, extent), witness=state.seen)


def again(progress: Progress, marks: tuple[Mark, ...], at: int, extent: Extent) -> Progress:
    """Return the progress when ClickHouse was restarted after it lived until `at`: back to the place beyond doubt."""
    offset = beyond_doubt(marks, at) or 0
    if offset >= extent.begin:
        return rewound(progress, offset)
    wanted = f"rows from offset {offset} on are needed again and Kafka begins at {extent.begin}"
    return replace(rewound(progress, extent.begin), owes=wanted)
