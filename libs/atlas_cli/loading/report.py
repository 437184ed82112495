"""What a load did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from atlas_client import Written

EXAMPLES = 3


@dataclass(slots=True)
class Report:
    """Counts of one run.

    `skipped` writes were acknowledged to an earlier run; `repeated` ones were stored by a run that was cut off before
    it could take note. `superseded` ones were followed by the same identity in their batch.
    """

    stored: int = 0
    superseded: int = 0
    repeated: int = 0
    skipped: int = 0
    batches: int = 0
    tenants: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    token: str = ""  # of the last batch that stored something, for a read that must reflect the load
    trace_id: str = ""

    @property
    def writes(self) -> int:
        """Return how many writes were read, whatever became of them."""
        return self.stored + self.superseded + self.repeated + self.skipped + self.refused.total()

    def note(self, tenant: str, written: Written, place: str) -> None:
        """Add what became of a batch; `place` says where it was read."""
        self.batches += 1
        self.tenants.add(tenant)
        if written.repeated:
            self.repeated += written.stored + written.superseded
        else:
            self.stored += written.stored
            self.superseded += written.superseded
        self.token = written.token or self.token
        self.trace_id = written.trace_id or self.trace_id
        for refusal in written.refusals:
            self.refused[refusal.reason] += 1
            examples = self.examples.setdefault(refusal.reason, [])
            if len(examples) < EXAMPLES:
                examples.append(f"{place}, item {refusal.index}: {refusal.message}")

    def lines(self) -> list[str]:
        """Return the report for people."""
        told = [
            f"{self.stored:,} values stored in {self.batches:,} batches of {len(self.tenants)} tenants",
            f"{self.superseded:,} were followed by the same identity in their batch" if self.superseded else "",
            f"{self.repeated:,} had been stored by a run that was cut off" if self.repeated else "",
            f"{self.skipped:,} had been acknowledged to an earlier run" if self.skipped else "",
        ]
        for reason, count in self.refused.most_common():
            told.append(f"{count:,} refused: {reason}")
            told.extend(f"    {example}" for example in self.examples[reason])
        return [line for line in told if line]
