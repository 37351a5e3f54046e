"""Proviruses inside chromosomes: regions that the phage detector reports, beside stretches like known phages.

    python -m benchmarks.tables.phage_regions --work runs/phage

`--work` is that of `phage_detector`. Every chromosome is read by the model of its fold, which has seen none of its
group; its marked stretches (31-mers that known phages have, `prophage_like` of the data) are the truth. Marks are few
and not complete: a region without a mark may be a provirus that no known phage resembles, so the rate of such regions
is an upper bound of false ones. Phages that the marks resemble may have been in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks._results import data_folder, write_result
from seqformers.phages.contig import PRESETS, Calibration
from seqformers.phages.detector import PhageDetector
from seqformers.phages.regions import phage_regions

LEAST = (2_000, 10_000, 20_000)  # nt of a mark
DRAWS = 1000


class _Record(NamedTuple):
    id: str
    sequence: str


def read_chromosomes(work: Path) -> pd.DataFrame:
    """Chromosomes as they are, marks not hidden, with fold and marked stretches."""
    folds = pd.read_parquet(work / "records.parquet", columns=["id", "fold"]).set_index("id")["fold"]
    table = pd.read_parquet(data_folder("genomes") / "bacteria_archaea.parquet")
    table = table[table["record_id"].isin(folds.index)]
    table["fold"] = table["record_id"].map(folds)
    return table[["record_id", "group", "fold", "length", "prophage_like", "sequence"]].reset_index(drop=True)


def joined(marks: Any, gap: int = 5_000) -> list[list[int]]:
    """Marks of one provirus as one: those closer than `gap` nt."""
    found: list[list[int]] = []
    for start, end in sorted((int(a), int(b)) for a, b in marks):
        if found and start - found[-1][1] <= gap:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([start, end])
    return found


def overlap(one: tuple[int, int], others: Any) -> int:
    """Letters of `one` that `others` cover."""
    return sum(max(0, min(one[1], end) - max(one[0], start)) for start, end in others)


def measure(marks: pd.DataFrame, chromosomes: pd.DataFrame) -> dict[str, float]:
    """Shares of marks found (half of their letters), and regions without a mark a megabase."""
    found: dict[str, float] = {}
    for least in LEAST:
        own = marks[marks["nt"] >= least]
        found[f"found_{least}"] = float((own["covered"] >= 0.5 * own["nt"]).mean()) if len(own) else float("nan")
    found["regions_without_mark_a_megabase"] = float(1e6 * chromosomes["unmarked"].sum() / chromosomes["length"].sum())
    found["letters_of_regions_without_mark"] = float(chromosomes["unmarked_nt"].sum() / chromosomes["length"].sum())
    found["regions_with_mark"] = float(
        chromosomes["marked"].sum() / max(1, (chromosomes["marked"] + chromosomes["unmarked"]).sum())
    )
    return found


def with_intervals(marks: pd.DataFrame, chromosomes: pd.DataFrame) -> dict[str, Any]:
    """`measure`, and 95 % of a bootstrap over groups."""
    generator = np.random.default_rng(0)
    groups = chromosomes["group"].unique()
    by_group = {name: (marks[marks["group"] == name], chromosomes[chromosomes["group"] == name]) for name in groups}
    draws = []
    for _ in range(DRAWS):
        drawn = [by_group[groups[i]] for i in generator.integers(0, len(groups), len(groups))]
        draws.append(measure(pd.concat([m for m, _ in drawn]), pd.concat([c for _, c in drawn])))
    return {
        name: [
            round(value, 4),
            *(round(float(q), 4) for q in np.nanquantile([d[name] for d in draws], [0.025, 0.975])),
        ]
        for name, value in measure(marks, chromosomes).items()
    }


def main() -> None:
    """Score, measure, write `results/phage_regions.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    torch.set_num_threads(1)
    table = read_chromosomes(work)
    calibration = Calibration.read(Path(__file__).parents[2] / "modeling" / "dna" / "pretrained" / "coding_profile")
    contigs: dict[int, Any] = {}
    for fold, own in table.groupby("fold"):
        detector = PhageDetector(work / "models" / f"fold-{fold}", "cpu")
        detector.calibration = calibration
        for row in own.itertuples():
            (contigs[row.Index],) = detector.score([_Record(row.record_id, row.sequence)])
            contigs[row.Index].sequence = ""
    result: dict[str, Any] = {"chromosomes": len(table), "megabases": round(table["length"].sum() / 1e6, 1)}
    for preset, (_, least) in PRESETS.items():
        marks, chromosomes = [], []
        for row in table.itertuples():
            regions = [(region.start, region.end) for region in phage_regions(contigs[row.Index], least)]
            stretches = joined(row.prophage_like)
            marks += [
                {"group": row.group, "nt": end - start, "covered": overlap((start, end), regions)}
                for start, end in stretches
            ]
            alone = [region for region in regions if not overlap(region, stretches)]
            chromosomes.append(
                {"group": row.group, "length": row.length, "marked": len(regions) - len(alone), "unmarked": len(alone),
                 "unmarked_nt": sum(end - start for start, end in alone)}
            )  # fmt: skip
        all_marks = pd.DataFrame(marks)
        result["marks"] = {str(n): int((all_marks["nt"] >= n).sum()) for n in LEAST}
        result[preset] = with_intervals(all_marks, pd.DataFrame(chromosomes))
        print(preset, result[preset], flush=True)
    write_result("phage_regions", result, data="genomes: bacteria_archaea, prophage_like", seeds=[0])


if __name__ == "__main__":
    main()
