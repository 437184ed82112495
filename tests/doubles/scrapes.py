"""What Prometheus would read on a page of metrics, by Prometheus's own parser."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Scrape:
    """One page: the kind of each metric by the name of its family, and its samples in order."""

    kinds: dict[str, str]
    samples: list[tuple[str, dict[str, str], float]]

    def of(self, name: str, **labels: str) -> list[float]:
        """Return the figures of this name whose labels have these values among others."""
        return [figure for found, has, figure in self.samples if found == name and labels.items() <= has.items()]

    def sum(self, name: str, **labels: str) -> float:
        """Return their sum; 0 if there is none."""
        return sum(self.of(name, **labels))

    def names(self) -> set[str]:
        """Return the names as an expression has them: a counter's ends in _total."""
        return {f"{name}_total" if kind == "counter" else name for name, kind in self.kinds.items()}


def parsed(text: str) -> Scrape:
    """Return what stands on a page. A family without samples is not on it."""
    families = [family for family in text_string_to_metric_families(text) if family.samples]
    samples = [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]
    return Scrape({family.name: family.type for family in families}, samples)


async def scrape(url: str) -> Scrape:
    """Return what a service says now."""
    async with httpx.AsyncClient(timeout=10) as client:
        answer = await client.get(url)
    assert answer.status_code == 200, answer.text
    return parsed(answer.text)
