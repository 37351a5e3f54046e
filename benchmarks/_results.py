"""What every benchmark shares: timing, and JSON results that say how they came about."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["RESULTS", "about", "commit", "commit_of", "data_folder", "time_call", "write_result"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
_PACKAGES = ("numpy", "torch", "transformers", "datasets", "tokenizers", "scikit-learn")


def data_folder(name: str = "") -> Path:
    """Folder of the public benchmark data, from the environment variable `SEQFORMERS_DATA`."""
    folder = os.environ.get("SEQFORMERS_DATA")
    if not folder or not Path(folder).is_dir():
        raise SystemExit("set SEQFORMERS_DATA to the folder of benchmark data")
    return Path(folder) / name


def time_call(call: Callable[[], Any], *, repeats: int = 15, warm_up: int = 2) -> dict[str, float]:
    """Seconds of `call`: wall time and CPU time of this process, median and minimum over `repeats`.

    The CPU time does not count what other programs on the machine do, so it is the steadier of the two for work on
    one thread.
    """
    for _ in range(warm_up):
        call()
    wall, cpu = [], []
    for _ in range(repeats):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - wall_start)
        cpu.append(time.process_time() - cpu_start)
    return {
        "median_s": statistics.median(wall),
        "min_s": min(wall),
        "median_cpu_s": statistics.median(cpu),
        "repeats": repeats,
    }


def about(*, data: str, seeds: list[int] | None = None) -> dict[str, Any]:
    """What stands in every result file beside the result: command, commit, data, seeds, device and versions."""
    return {
        "command": " ".join(["python", "-m", _module(), *map(_without_this_machine, sys.argv[1:])]),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "data": data,
        "seeds": seeds or [],
        "device": _device(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in _PACKAGES},
    }


def write_result(name: str, result: dict[str, Any], *, data: str, seeds: list[int] | None = None) -> Path:
    """Write `results/<name>.json`: the result, and beside it what `about` says."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**about(data=data, seeds=seeds), "result": result}, indent=2) + "\n", encoding="utf-8")
    return path


def _without_this_machine(word: str) -> str:
    """An argument as another machine would have it: of an absolute path only the name, under `runs`."""
    return f"runs/{Path(word).name}" if Path(word).is_absolute() else word


def commit() -> str:
    """Short hash of the commit this checkout is at."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def commit_of(found: dict[str, Any]) -> str:
    """The commit a result names, and the one it was recorded at where that is not in this history."""
    recorded = found.get("commit_recorded")
    return f"{found['commit']} (recorded as {recorded})" if recorded else found["commit"]


def _module() -> str:
    path = Path(sys.argv[0]).resolve()
    return ".".join(path.relative_to(ROOT).with_suffix("").parts) if ROOT in path.parents else path.name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> str:
    try:
        import torch

        if torch.cuda.is_available():
            return torch.cuda.get_device_name()
    except ImportError:
        pass
    model = next((line.split(":")[1].strip() for line in _cpu_info() if line.startswith("model name")), "CPU")
    return f"{model}, {os.cpu_count()} cores"


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
