"""Jobs killed at random moments: each runs in a fork of this process, so that it costs no start of an interpreter."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["run_and_kill"]

# Seconds until a fork counts as stuck and another is made: what another thread of this process had locked at that
# moment stays locked in it for ever.
_PATIENCE = 40


def run_and_kill(job: Callable[[], object], begun: Path, waits: Iterable[float]) -> int:
    """Run `job` once for each wait and kill it (-9) so many seconds after `begun` is there; how often that hit it.

    Args:
        job (callable): What a user would run, resuming what is there.
        begun (`Path`): File or folder that says that the work has begun.
        waits (`Iterable[float]`): Seconds between that and the kill.
    """
    waits, killed, stuck = list(waits), 0, 0
    while waits:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                job()
                code = 0
            finally:
                os._exit(code)
        latest = time.monotonic() + _PATIENCE
        while not begun.exists() and not _ended(child) and time.monotonic() < latest:
            time.sleep(0.002)
        if not begun.exists() and not _ended(child):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            stuck += 1
            assert stuck < 3, f"three forks of the job did not begin within {_PATIENCE} seconds"
            continue
        time.sleep(waits.pop(0))
        if not _ended(child):
            os.kill(child, signal.SIGKILL)
            killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    return killed


def _ended(child: int) -> bool:
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True
