"""Fill the numbers of README.md from `results/*.json`, so that no figure is typed: `python -m benchmarks.readme`.

A block between `<!-- NAME -->` and `<!-- /NAME -->` is replaced by what the function of that name in `BLOCKS` returns.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._results import RESULTS, ROOT

__all__ = ["BLOCKS", "filled"]


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _about(found: dict[str, Any]) -> str:
    return f"<sub>`{found['command']}`, commit {found['commit']}, {found['device']}.</sub>"


def phage() -> str:
    """The table of phage reads."""
    found = _result("virbert_reads")
    if found is None:
        return "Not measured yet."
    from benchmarks.tables.virbert import markdown

    pretraining = found["result"]["pretraining"]
    note = (
        f"Mean ± standard deviation over seeds {found['seeds']}. The network has "
        f"{pretraining['parameters'] / 1e6:.1f} M parameters and was pretrained on "
        f"{pretraining['tokens'] / 1e6:.0f} M tokens ({pretraining['train_seconds'] / 60:.0f} minutes on one core)."
    )
    return f"{markdown(found['result']['cells'])}\n{note}\n{_about(found)}"


def speed() -> str:
    """One line a benchmark of speed."""
    lines = ["| what | rate | against |", "|---|---|---|"]
    found = _result("speed_tokenize")
    if found:
        rates, ratios = found["result"]["rates"], found["result"]["times_faster_than"]
        ours = rates["seqformers KmerTokenizer"]["million_nt_per_s"]
        others = "; ".join(
            f"{ratio:,.0f} × {name}"
            for name, ratio in ratios.items()
            if "seqformers" not in name and "copy" not in name
        )
        lines.append(f"| 6-mer tokenizing, one core | {ours:,.0f} million nt/s | {others} |")
        collator = found["result"]["collator"]["collator, batch of 64"]["million_tokens_per_s"]
        lines.append(f"| masking in base space | {collator:,.0f} million tokens/s | |")
    for name, row in SPEED_ROWS.items():
        found = _result(name)
        if found:
            lines.append(row(found["result"]))
    return "\n".join(lines)


SPEED_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {}

BLOCKS: dict[str, Callable[[], str]] = {"phage": phage, "speed": speed}


def filled(text: str) -> str:
    """Return `text` with every block replaced."""
    for name, block in BLOCKS.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, block=block: f"{match[1]}{block()}\n{match[2]}", text)  # type: ignore[misc]
    return text


def main() -> None:
    path = Path(ROOT / "README.md")
    text = path.read_text(encoding="utf-8")
    new = filled(text)
    path.write_text(new, encoding="utf-8")
    print("README.md is up to date" if new == text else "README.md rewritten", file=sys.stderr)


if __name__ == "__main__":
    main()
