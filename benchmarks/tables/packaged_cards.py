"""Cards of the packaged models: what the results say beside what their training wrote.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.packaged_cards

writes `results/deepcpf1_leakage.json`, the sections on baselines and leakage of the guide model's card, and the whole
card of the TargetNet.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import seqformers
from benchmarks._results import RESULTS, data_folder, write_result
from benchmarks.tables.targetnet import render_card
from seqformers.hub.load import packaged_model

ROWS = {
    "packaged": "**this model**",
    "pam_alone": "PAM alone",
    "l1": "lasso of one-hot positions and features",
    "cindel": "logistic regression as CINDEL",
    "boosted_trees": "boosted trees on the field's features",
    "paper": "the paper's network, trained here, 3 seeds",
    "transformer_6": "6-mer transformer, 3 seeds",
    "published_weights": "published weights, converted",
}


def measure_leakage() -> dict[str, Any]:
    """Targets and protospacers of the other splits that training holds, too."""
    splits = seqformers.load_dataset("cpf1", name="ht", data_dir=str(data_folder("cpf1_activity")))
    targets = {name: list(rows["target"]) for name, rows in splits.items()}
    known = set(targets["train"])
    guides = {target[8:31] for target in known}
    return {
        name: {
            "rows": len(rows),
            "targets in train": sum(target in known for target in rows),
            "protospacers in train": sum(target[8:31] in guides for target in rows),
        }
        for name, rows in targets.items()
        if name != "train"
    }


def fill_guides(text: str) -> str:
    """The card of the guide model with its two sections filled."""
    models = json.loads((RESULTS / "deepcpf1_models.json").read_text())["result"]
    leakage = json.loads((RESULTS / "deepcpf1_leakage.json").read_text())["result"]
    lines = ["| Spearman's rho | HT 1-2 (test) | HT 2 |", "|---|---|---|"]
    for key, name in ROWS.items():
        row = models["rows"][key]
        lines.append(f"| {name} | {row['ht_1_2']['spearman']:.4f} | {row['ht_2']['spearman']:.4f} |")
    lines += ["", "A model that does not beat these has learned no more than the shortcut."]
    text = _section(text, "Beside shortcut baselines", lines)
    lines = ["| measured | value |", "|---|---|"]
    for split, found in leakage.items():
        for what in ("targets in train", "protospacers in train"):
            lines.append(f"| {split.replace('_', ' ')}, {found['rows']:,} rows: {what} | {found[what]:,} |")
    return _section(text, "Leakage between splits", lines)


def _section(text: str, heading: str, lines: list[str]) -> str:
    body = "\n".join([f"## {heading}", "", *lines, "", ""])
    new, count = re.subn(rf"## {heading}\n.*?(?=^## )", lambda _: body, text, flags=re.DOTALL | re.MULTILINE)
    assert count == 1, heading
    return new


def main() -> None:
    write_result("deepcpf1_leakage", measure_leakage(), data="cpf1_activity", seeds=[0])
    path = packaged_model("deepcpf1") / "README.md"
    path.write_text(fill_guides(path.read_text(encoding="utf-8")), encoding="utf-8")
    Path(packaged_model("targetnet") / "README.md").write_text(render_card(), encoding="utf-8")


if __name__ == "__main__":
    main()
