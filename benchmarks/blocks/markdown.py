"""How a block of a page is written: a result file, a table, a value with its spread."""

from __future__ import annotations

import json
from typing import Any

from benchmarks._results import RESULTS, commit_of

__all__ = ["about", "result_of", "table_lines", "with_range", "with_signs", "with_spread"]


def result_of(name: str) -> dict[str, Any] | None:
    """What a file of `results/` holds; `None` where it is not measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def about(found: dict[str, Any]) -> str:
    """Command, commit and device of a result."""
    return f"<sub>`{found['command']}`, commit {commit_of(found)}, {found['device']}.</sub>"


def table_lines(head: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a table."""
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]


def with_spread(mean: float, sd: float | None) -> str:
    """A mean and its standard deviation, where there is one."""
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def with_range(value: list[float]) -> str:
    """A value and its interval."""
    return "{:.3f} ({:.3f}-{:.3f})".format(*value)


def with_signs(value: list[float]) -> str:
    """A difference and its interval."""
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*value)
