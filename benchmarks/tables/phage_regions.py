"""Proviruses inside chromosomes: the regions that the phage detector reports.

    export SEQFORMERS_DATA=...
    python -m benchmarks.tables.phage_regions --work runs/phage

`--work` is that of `phage_detector`; every chromosome is read by the model of its fold, which has seen neither its
group nor the phage's. Two truths:

- *put in*: a whole phage genome of the fold set into a chromosome piece of 100 kb. Real proviruses are older and
  closer to their host in composition, so this is an upper bound of what is found.
- *marked*: stretches of chromosomes with 31-mers of known phages (`prophage_like` of the data). They are few and
  short, and not complete: a region without a mark may be a provirus that no known phage resembles, so the rate of
  such regions is an upper bound of false ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks._results import data_folder, write_result
from benchmarks.tables.phage_data import FOLDS
from seqformers.phages.contig import PRESETS, Calibration, ContigScore
from seqformers.phages.detector import PhageDetector
from seqformers.phages.regions import phage_regions

SHORTEST_MARK = 2_000  # nt
PHAGES, SHORTEST, LONGEST, FLANK = 80, 10_000, 80_000, 50_000  # a fold; nt
DRAWS = 1000
PACKAGED = Path(__file__).parents[2] / "modeling" / "dna" / "pretrained" / "coding_profile"


class _Record(NamedTuple):
    id: str
    sequence: str


def read_chromosomes(work: Path) -> pd.DataFrame:
    """Chromosomes as they are, marks not hidden, with fold and marked stretches."""
    records = pd.read_parquet(work / "records.parquet", columns=["id", "class", "fold"])
    records = records[records["class"].isin(["bacterium", "archaeon"])].drop_duplicates("id")
    folds = records.set_index("id")["fold"]
    table = pd.read_parquet(data_folder("genomes") / "bacteria_archaea.parquet")
    table = table[table["record_id"].isin(folds.index)].drop_duplicates("record_id")
    table = table.assign(fold=table["record_id"].map(folds))
    return table[["record_id", "group", "fold", "length", "prophage_like", "sequence"]].reset_index(drop=True)


def put_in(work: Path, chromosomes: pd.DataFrame, fold: int) -> pd.DataFrame:
    """Chromosome pieces with a phage genome in their middle: its group, where it lies, and the letters."""
    generator = np.random.default_rng(fold)
    phages = pd.read_parquet(work / "records.parquet")
    length = phages["sequence"].str.len()
    phages = phages[(phages["class"] == "phage") & (phages["fold"] == fold) & length.between(SHORTEST, LONGEST)]
    phages = phages.groupby("group").sample(frac=1, random_state=fold).groupby("group").head(3)
    phages = phages.sample(min(PHAGES, len(phages)), random_state=fold)
    hosts = chromosomes[(chromosomes["fold"] == fold) & (chromosomes["length"] > 2 * FLANK)]
    rows = []
    for phage in phages.itertuples():
        host = hosts.iloc[int(generator.integers(len(hosts)))]
        start = int(generator.integers(0, host["length"] - 2 * FLANK))
        piece = host["sequence"][start : start + 2 * FLANK]
        genome = phage.sequence[:: 1 if generator.random() < 0.5 else -1]
        if genome != phage.sequence:
            genome = genome.translate(str.maketrans("ACGT", "TGCA"))
        rows.append({"group": phage.group, "start": FLANK, "end": FLANK + len(genome),
                     "sequence": piece[:FLANK] + genome + piece[FLANK:]})  # fmt: skip
    return pd.DataFrame(rows)


def overlap(one: tuple[int, int], others: Any) -> int:
    """Letters of `one` that `others` cover."""
    return sum(max(0, min(one[1], end) - max(one[0], start)) for start, end in others)


def with_interval(values: pd.Series, groups: pd.Series) -> list[float]:
    """Mean over rows, and 95 % of a bootstrap over groups."""
    generator = np.random.default_rng(0)
    sums = pd.DataFrame({"value": values, "group": groups}).groupby("group")["value"].agg(["sum", "count"]).to_numpy()
    drawn = sums[generator.integers(0, len(sums), (DRAWS, len(sums)))].sum(1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return [round(float(value), 4) for value in (values.mean(), low, high)]


def score_all(detector: PhageDetector, table: pd.DataFrame) -> list[ContigScore]:
    """Contigs scored, their letters dropped."""
    contigs = []
    for number, sequence in enumerate(table["sequence"]):
        (contig,) = detector.score([_Record(str(number), sequence)])
        contig.sequence = ""
        contigs.append(contig)
    return contigs


def measure_put_in(contigs: list[ContigScore], table: pd.DataFrame, least: float) -> dict[str, Any]:
    """Phages found (half of their letters), their letters covered, how far the ends are off, and regions elsewhere."""
    rows = []
    for contig, truth in zip(contigs, table.itertuples(), strict=True):
        regions = [(region.start, region.end) for region in phage_regions(contig, least)]
        own = [region for region in regions if overlap(region, [(truth.start, truth.end)])]
        covered = overlap((truth.start, truth.end), regions) / (truth.end - truth.start)
        ends = [abs(min(a for a, _ in own) - truth.start), abs(max(b for _, b in own) - truth.end)] if own else []
        rows.append({"found": covered >= 0.5, "covered": covered, "pieces": len(own),
                     "elsewhere": len(regions) - len(own),
                     "off": float(np.mean(ends)) if ends else np.nan})  # fmt: skip
    found = pd.DataFrame(rows)
    return {
        "phages": len(found),
        "groups": int(table["group"].nunique()),
        "found": with_interval(found["found"].astype(float), table["group"]),
        "letters_covered": with_interval(found["covered"], table["group"]),
        "in_one_piece": round(float((found["pieces"] == 1)[found["found"]].mean()), 4),
        "median_nt_that_an_end_is_off": round(float(found.loc[found["found"], "off"].median()), 0),
        "regions_elsewhere_a_megabase": round(float(1e6 * found["elsewhere"].sum() / (2 * FLANK * len(found))), 3),
    }


def measure_marked(contigs: list[ContigScore], table: pd.DataFrame, least: float) -> dict[str, Any]:
    """Marks found (half of their letters), and regions without a mark a megabase, by chromosome."""
    marks, alone = [], []
    for contig, row in zip(contigs, table.itertuples(), strict=True):
        regions = [(region.start, region.end) for region in phage_regions(contig, least)]
        stretches = [(int(start), int(end)) for start, end in row.prophage_like]
        marks += [
            {"group": row.group, "found": overlap((start, end), regions) >= 0.5 * (end - start)}
            for start, end in stretches
            if end - start >= SHORTEST_MARK
        ]
        unmarked = [region for region in regions if not overlap(region, stretches)]
        letters = sum(end - start for start, end in unmarked)
        alone.append({"group": row.group, "regions": len(unmarked), "share": letters / row.length})
    found, others = pd.DataFrame(marks), pd.DataFrame(alone)
    megabases = table["length"].sum() / 1e6
    return {
        "marks": len(found),
        "found": with_interval(found["found"].astype(float), found["group"]),
        "regions_without_a_mark_a_megabase": round(float(others["regions"].sum() / megabases), 3),
        "letters_in_those": with_interval(others["share"], others["group"]),
    }


def main() -> None:
    """Score, measure, write `results/phage_regions.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    torch.set_num_threads(1)
    chromosomes = read_chromosomes(work)
    calibration = Calibration.read(PACKAGED)
    tables: dict[str, list[pd.DataFrame]] = {"put_in": [], "marked": []}
    contigs: dict[str, list[ContigScore]] = {"put_in": [], "marked": []}
    for fold in range(FOLDS):
        detector = PhageDetector(work / "models" / f"fold-{fold}", "cpu")
        detector.calibration = calibration
        of_fold = {"put_in": put_in(work, chromosomes, fold), "marked": chromosomes[chromosomes["fold"] == fold]}
        for name, table in of_fold.items():
            tables[name].append(table)
            contigs[name] += score_all(detector, table)
    result: dict[str, Any] = {
        "chromosomes": len(chromosomes),
        "megabases": round(chromosomes["length"].sum() / 1e6, 1),
    }
    for preset, (_, least) in PRESETS.items():
        result[preset] = {
            "put_in": measure_put_in(contigs["put_in"], pd.concat(tables["put_in"], ignore_index=True), least),
            "marked": measure_marked(contigs["marked"], pd.concat(tables["marked"], ignore_index=True), least),
        }
        print(preset, result[preset], flush=True)
    write_result("phage_regions", result, data="genomes: bacteria_archaea, phages; virus_genomes", seeds=[0])


if __name__ == "__main__":
    main()
