"""Jobs killed at random moments: each runs in a fork of this process, so that it costs no start of an interpreter."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["run_and_kill"]


def run_and_kill(job: Callable[[], object], begun: Path, waits: Iterable[float]) -> int:
    """Run `job` once for each wait and kill it (-9) so many seconds after `begun` is there; how often that hit it.

    Args:
        job (callable): What a user would run, resuming what is there.
        begun (`Path`): File or folder that says that the work has begun.
        waits (`Iterable[float]`): Seconds between that and the kill.
    """
    killed = 0
    for wait in waits:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                job()
                code = 0
            finally:
                os._exit(code)
        while not begun.exists() and not _ended(child):
            time.sleep(0.002)
        time.sleep(wait)
        if not _ended(child):
            os.kill(child, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    return killed


def _ended(child: int) -> bool:
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
