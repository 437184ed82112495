"""The first moments of a child process: change to its user, ask to die with its parent, become its program.

Run as a file of its own, and it imports nothing of ours: a child that is made ready between fork and exec runs what
other libraries hooked into fork, and may never get to its program.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become `arguments[4:]` as user and group `arguments[2:4]` (-1: unchanged), tied to parent `arguments[0]`.

    `arguments[1]` is the signal that the kernel sends when that parent dies. Linux has the call; elsewhere nothing
    is sent. It is made after the change of user, which would undo it.
    """
    parent, number, user, group = map(int, arguments[:4])
    if group != -1:
        os.setgroups([])
        os.setgid(group)
    if user != -1:
        os.setuid(user)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)
    os.execvp(arguments[4], arguments[4:])  # noqa: S606 - the stack's own commands, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
