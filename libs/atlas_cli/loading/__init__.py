"""Loading a set through the gRPC contract: in order where order matters, resumable, counting nothing twice."""

from atlas_cli.loading.ledger import Ledger, LedgerFault
from atlas_cli.loading.loader import Interrupted, Options, load
from atlas_cli.loading.progress import PlainProgress, Progress, RichProgress, progress_for
from atlas_cli.loading.report import Report

__all__ = [
    "Interrupted",
    "Ledger",
    "LedgerFault",
    "Options",
    "PlainProgress",
    "Progress",
    "Report",
    "RichProgress",
    "load",
    "progress_for",
]
