"""The world as the parts see it: time, chance, links, and the stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checker.sim.process import Network

if TYPE_CHECKING:
    from checker.sim.pg.cluster import Cluster


class World(Network):
    """The network with the stores that hang on it."""

    cluster: Cluster
    _given = 0

    @property
    def network(self) -> Network:
        return self

    def number(self) -> int:
        """A number that was not given before."""
        self._given += 1
        return self._given
