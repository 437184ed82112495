"""Lets processes of another user write to no regular file any more. Run as a file of its own: it changes its user.

The kernel takes the call from the owner of a process, and from root only with a right that containers do not give.
"""

import contextlib
import os
import resource
import sys


def main(arguments: list[str]) -> None:
    """Do it to the processes `arguments[2:]` as user and group `arguments[:2]` (-1: unchanged)."""
    user, group, *processes = map(int, arguments)
    if group != -1:
        os.setgroups([])
        os.setgid(group)
    if user != -1:
        os.setuid(user)
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            _, most = resource.prlimit(process, resource.RLIMIT_FSIZE)
            resource.prlimit(process, resource.RLIMIT_FSIZE, (0, most))


if __name__ == "__main__":
    main(sys.argv[1:])
