"""What a finished run prints: scores with their spread, the shortcuts beside them, and where to go from here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from seqformers.hub.cards import METRIC_NAMES, format_number
from seqformers.training.arguments import is_main_process

__all__ = ["print_run", "print_scores", "with_lengths"]


def print_run(folder: Path) -> None:
    """Print the scores of a finished run folder and what can be done with it."""
    if not is_main_process():
        return
    summary = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    metrics = with_lengths(summary["metrics"], summary.get("by_length", {}))
    print_scores(str(folder), metrics, summary["baselines"], summary["baseline_split"])
    console = Console()
    speeds = [result["tokens_per_second"] for result in summary["per_seed"] if result.get("tokens_per_second")]
    if speeds:
        console.print(f"trained at {sum(speeds) / len(speeds):,.0f} tokens/s on {summary['device']}")
    console.print(f"run folder (a Hub repository): {folder}", soft_wrap=True)


def with_lengths(
    metrics: Mapping[str, Mapping[str, Any]], by_length: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Mapping[str, Any]]:
    """Metrics of splits, each followed by those of its bins of lengths."""
    found: dict[str, Mapping[str, Any]] = {}
    for split, values in metrics.items():
        found[split] = values
        for name, part in by_length.get(split, {}).items():
            found[f"{split}, {name} letters ({part['rows']:,} rows)"] = {
                key: value for key, value in part.items() if key != "rows"
            }
    return found


def print_scores(
    title: str, metrics: Mapping[str, Mapping[str, Any]], baselines: Mapping[str, Mapping[str, Any]], split: str
) -> None:
    """Print one table: the model on every split, then the shortcuts on `split`."""
    names = list(dict.fromkeys(name for values in [*metrics.values(), *baselines.values()] for name in values))
    table = Table(title=title)
    table.add_column("")
    for name in names:
        table.add_column(METRIC_NAMES.get(name, name), justify="right")
    rows = [(f"model, {part}", values) for part, values in metrics.items()]
    rows += [(f"{name.replace('_', ' ')}, {split}", values) for name, values in baselines.items()]
    for label, values in rows:
        table.add_row(label, *(format_number(values[name]) if name in values else "" for name in names))
    console = Console()
    # In a file or pipe nobody's window limits the width.
    (console if console.is_terminal else Console(width=160)).print(table)
