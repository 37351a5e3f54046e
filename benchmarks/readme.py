"""Fill the numbers of README.md and RESULTS.md from `results/*.json`: `python -m benchmarks.readme`.

A block between `<!-- NAME -->` and `<!-- /NAME -->` is replaced by what the function of that name in `BLOCKS` returns;
the functions stand in `benchmarks/blocks`, a module a subject.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from benchmarks._results import ROOT
from benchmarks.blocks.guides import guides, guides_example, guides_in_short
from benchmarks.blocks.markdown import result_of, table_lines
from benchmarks.blocks.phages import detector_in_short, phage_detector, phage_regions
from benchmarks.blocks.proteins import annotator, proteins, same_family
from benchmarks.blocks.reads import demo_in_short, families, phage, reads_in_short
from benchmarks.blocks.speeds import speed
from benchmarks.blocks.targets import sites, targets, whole_utrs

__all__ = ["BLOCKS", "PAGES", "SHORT", "filled", "filled_page"]


def in_short() -> str:
    """One row a task: the packaged model, and what stands beside it."""
    rows = []
    if found := result_of("pair_cnn"):
        test = found["result"]["tests"]["clash2013_eval"]["models"]
        ours = next(row for name, row in test.items() if name.startswith("packaged: "))
        other = test["duplex energy (RNAduplex)"]
        name = "auroc_within_mirna"
        shown = f"{ours[name]:.3f} ({ours['interval'][name][0]:.3f}-{ours['interval'][name][1]:.3f})"
        rows.append(["miRNA target sites, CLASH", "AUROC within miRNAs", shown, f"duplex energy {other[name]:.3f}"])
    best, models = result_of("deepcpf1_best"), result_of("deepcpf1_models")
    if best and models:
        ours, other = best["result"]["rows"]["best"]["ht_2"], models["result"]["rows"]["boosted_trees"]["ht_2"]
        known = f"boosted trees on the field's features {other['spearman']:.3f}"
        rows.append(["Cpf1 guides, HT 2", "Spearman", f"{ours['spearman']:.3f}", known])
    if found := result_of("annotator"):
        for task, metric, title in (("structure", "q3", "Q3"), ("signal", "mcc", "MCC")):
            arms = found["result"]["tests"][task]["arms"]
            ours, other = arms["packaged"], arms["one-hot linear"]
            shown = f"{ours['metrics'][metric]:.3f} ± {ours['sd'][metric]:.3f}"
            what = {"structure": "secondary structure, CB513", "signal": "signal peptides"}[task]
            rows.append([what, title, shown, f"one-hot linear {other['metrics'][metric]:.3f}"])
    if found := result_of("virbert_arms"):
        rows += reads_in_short(found["result"]["rows"])
    return "\n".join(table_lines(["model for", "measure", "here", "beside it"], rows))


# README.md, one screen a user; and RESULTS.md, all tables.
SHORT: dict[str, Callable[[], str]] = {
    "demo_in_short": demo_in_short, "detector_in_short": detector_in_short, "guides_in_short": guides_in_short,
    "in_short": in_short,
}  # fmt: skip
BLOCKS: dict[str, Callable[[], str]] = {
    "phage_detector": phage_detector,
    "phage_regions": phage_regions,
    "phage": phage,
    "families": families,
    "sites": sites,
    "whole_utrs": whole_utrs,
    "targets": targets,
    "guides": guides,
    "guides_example": guides_example,
    "annotator": annotator,
    "same_family": same_family,
    "proteins": proteins,
    "speed": speed,
}


def filled(text: str) -> str:
    """Return `text` with every block replaced."""
    for name, block in (SHORT | BLOCKS).items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, block=block: f"{match[1]}{block()}\n{match[2]}", text)  # type: ignore[misc]
    return text


PAGES = ("README.md", "benchmarks/RESULTS.md")


def filled_page(name: str) -> tuple[str, str]:
    """A page as it is, and as it should be; its pictures are found from where it stands."""
    text = (ROOT / name).read_text(encoding="utf-8")
    new = filled(text)
    return text, new.replace("](docs/", "](../docs/") if "/" in name else new


def main() -> None:
    """Rewrite the pages."""
    for name in PAGES:
        text, new = filled_page(name)
        (ROOT / name).write_text(new, encoding="utf-8")
        print(f"{name} is up to date" if new == text else f"{name} rewritten", file=sys.stderr)


if __name__ == "__main__":
    main()
