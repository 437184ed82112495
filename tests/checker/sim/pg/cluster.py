"""The servers of one system, their names, and what an operator does with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checker.sim.pg.server import Server, Timeline
from checker.sim.process import Process

if TYPE_CHECKING:
    from checker.sim.network import World


class Slot:
    """The replication slot of the connector, as the server shows it."""

    def __init__(self) -> None:
        self.present = True
        self.transactions = 0  # decoded since it was made, or since the server crashed
        self.confirmed = 0


SYSTEM = 7_301_234_567_890_123_456


class Cluster:
    """A primary with standbys. `names` says which server a name leads to now."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.system_identifier = SYSTEM
        self.settings: dict[str, Any] = {
            "synchronous_commit": "on",
            "fsync": True,
        }
        self.receiver_timeout = 5.0
        self.slot = Slot()
        self.timelines = [Timeline(1, 0x3000000)]
        self.servers: dict[str, Server] = {}
        self.names: dict[str, str] = {}

    def add(self, process: Process, *, standby: bool) -> Server:
        server = Server(self, process, self.timelines[-1], standby=standby)
        self.servers[process.name] = server
        return server

    def resolve(self, name: str) -> Server:
        return self.servers[self.names[name]]

    def standbys_of(self, server: Server) -> list[Server]:
        return [other for other in self.servers.values() if other.upstream is server and other.in_recovery]

    def add_standby(self, process: Process, upstream: Server) -> Server:
        """A new standby of that primary, from a base backup of now."""
        server = self.add(process, standby=True)
        self._backed_up(server, upstream)
        process.run(server.follow(upstream), "walreceiver")
        return server

    def replaced(self, old: Timeline, new: Timeline) -> None:
        """The log lost its unflushed end: all servers of the line go on with the new object."""
        self.timelines[self.timelines.index(old)] = new
        for server in self.servers.values():
            if server.timeline is old:
                server.timeline = new

    def promote(self, standby: Server) -> Timeline:
        line = standby.promote(max(timeline.number for timeline in self.timelines) + 1)
        self.timelines.append(line)
        return line

    def rebuild(self, server: Server, upstream: Server) -> None:
        """Make a server anew as a standby, by a base backup of that primary."""
        server.crash()
        self._backed_up(server, upstream)
        server.upstream = upstream
        server.start()

    @staticmethod
    def _backed_up(server: Server, upstream: Server) -> None:
        server.in_recovery = True
        server.timeline = upstream.timeline
        server.visible = server.received = server.restart_point = upstream.flushed
        server.replayed_lsn = server.received_lsn = upstream.flush_lsn
