"""`tether.py PARENT USER PROGRAM ARGUMENT…`: becomes the program, which is killed when its parent ends in any way.

Run as a file by a bare interpreter. USER is empty, or who the program runs as; the user is changed first, because Linux
takes the tether from a process that changes its user. On other systems the program merely runs.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def become(parent: str, user: str, program: str, *arguments: str) -> None:
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(f"{program}: whoever started it has ended")
    try:
        os.execvp(program, [program, *arguments])  # noqa: S606 - it is for running programs
    except OSError as error:
        sys.exit(f"{program}: {error.strerror}")


if __name__ == "__main__":
    become(*sys.argv[1:])
