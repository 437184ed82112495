"""A failover: the standby becomes the primary and the old one its standby, under the addresses that all know."""

from __future__ import annotations

from dataclasses import dataclass

from atlas_local.faults.links import Links
from atlas_local.postgres import PostgresServer
from atlas_local.stack import LocalStack


@dataclass(slots=True)
class Pair:
    """Which server is which now; at first they are what their names say."""

    primary: PostgresServer
    standby: PostgresServer

    @classmethod
    def of(cls, stack: LocalStack) -> Pair:
        """Return the pair of a stack that has just started."""
        return cls(stack.primary, stack.replica)


async def fail_over(stack: LocalStack, links: Links, pair: Pair) -> None:
    """Kill the primary, promote its standby, lead every link to it, and make the old primary a standby of the new one.

    What the standby had not received is lost, though it was acknowledged. Only links can be led elsewhere: who goes to
    a server directly finds it in its other role. Raises PartFailed.
    """
    lost, promoted = pair.primary, pair.standby
    lost.kill()
    await promoted.promote()
    pair.primary, pair.standby = promoted, lost
    _lead(links, "primary", promoted.port)
    await stack.postgres.copy(promoted, lost.data)
    await lost.start()
    _lead(links, "replica", lost.port)


def _lead(links: Links, role: str, port: int) -> None:
    """Lead each link of this role to a port, and reset what goes elsewhere."""
    for name in links.names:
        if name.endswith(f"->{role}"):
            links[name].target = port
            links[name].reset()
