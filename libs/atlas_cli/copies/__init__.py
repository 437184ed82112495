"""What each copy holds of a set, counted in the copy itself and compared."""

from atlas_cli.copies.counts import Held, count_copies, count_corrected

__all__ = ["Held", "count_copies", "count_corrected"]
