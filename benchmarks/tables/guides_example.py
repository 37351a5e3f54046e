"""The example of README: the guides of a phage's gene, with off-targets in a genome of many phages, and the picture.

    export SEQFORMERS_DATA=data
    python -m benchmarks.tables.guides_example

writes `results/guides_example.json` and `docs/pictures/guides_off_targets.png`. The genome is every second phage of
the table of virus genomes, that of the gene included; the gene is the longest reading frame of a phage whose group has
many members, so that relatives hold off-targets.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks._results import ROOT, data_folder, write_result
from seqformers.guides.score import score_guides

COLUMNS = ["rank", "strand", "cut_start", "protospacer", "score", "specificity"]
FLANK, SHOWN = 150, 5


def longest_frame(sequence: str) -> tuple[int, int]:
    """Start and end of the longest run from ATG to a stop on the forward strand of the first 30,000 letters."""
    frames = re.finditer(r"(?=(ATG(?:(?!TAA|TAG|TGA)[ACGT]{3})+(?:TAA|TAG|TGA)))", sequence[:30_000])
    return max(((match.start(1), match.end(1)) for match in frames), key=lambda frame: frame[1] - frame[0])


def write_inputs(folder: Path) -> dict[str, Any]:
    """Genome, gene and gene model; what the gene is called."""
    table = pd.read_parquet(data_folder("virus_genomes") / "phage_genomes.parquet").iloc[::2]
    with (folder / "genome.fa").open("w") as file:
        for row in table.itertuples():
            file.write(f">{row.genome_id}{'' if pd.isna(row.segment) else row.segment}\n{row.sequence}\n")
    large = table[table.group == table.group.value_counts().index[0]]
    phage = large.iloc[0]
    start, end = longest_frame(phage.sequence)
    name = f"{phage.genome_id}_gene"
    (folder / "gene.fa").write_text(f">{name}\n{phage.sequence[start - FLANK : end + FLANK]}\n")
    line = [name, "frame", "", FLANK + 1, FLANK + end - start, ".", "+", "."]
    rows = [[*line[:2], kind, *line[3:], f"ID={kind};Name=longest frame"] for kind in ("gene", "CDS")]
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    (folder / "gene.gff3").write_text(f"##gff-version 3\n{text}")
    return {
        "gene": name,
        "phage": str(phage["name"]),
        "genomes": len(table),
        "bases": int(table.sequence.str.len().sum()),
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        result = write_inputs(folder)
        report = score_guides(
            folder / "gene.fa", folder / "guides.tsv", model="fast", genome=folder / "genome.fa", rank="both",
            no_poly_t=True, genes=folder / "gene.gff3", track=folder / "track.png",
        )  # fmt: skip
        guides = pd.read_csv(folder / "guides.tsv", sep="\t")
        shutil.copy(folder / "track.png", ROOT / "docs" / "pictures" / "guides_off_targets.png")
    counts = [name for name in guides if name.startswith("off_targets_")]
    shown = guides.head(SHOWN)[[*COLUMNS, *counts, "on_target"]]
    result |= {"guides": report.rows, "rows": shown.round(4).to_dict("records")}
    print(shown.to_string())
    write_result("guides_example", result, data="phages of virus_genomes, every second one", seeds=[])


if __name__ == "__main__":
    main()
