"""One set of genomes for the speedrun, from the two folders of public tables.

Groups are made anew from shared sequence, over both sources, so that no phage lies in train of one and test of the
other.

    python -m benchmarks.gpu.genomes DATA build/gpu/genomes
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seqformers.datasets import build_dataset

_CLASSES = {
    "phage": "phage",
    "virus": "virus",
    "bacterium": "host",
    "archaeon": "host",
    "plasmid": "plasmid",
    "eukaryote": "eukaryote",
}


def joined(data: Path) -> pa.Table:
    """Accession, class and sequence of every record of both folders; what is there twice stays once."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted([*(data / "genomes").glob("*.parquet"), *(data / "virus_genomes").glob("*.parquet")]):
        table = pq.read_table(path)
        if "class" in table.column_names:
            labels = [_CLASSES[name] for name in table["class"].to_pylist()]
        else:
            labels = ["phage" if flag else "virus" for flag in table["is_phage"].to_pylist()]
        names = table["accession"].to_pylist()
        for number, (name, label, letters) in enumerate(
            zip(names, labels, table["sequence"].to_pylist(), strict=True)
        ):
            found.setdefault(name or f"{path.stem}-{number}", (label, letters))
    labels, letters = zip(*found.values(), strict=True)
    return pa.table({"genome_id": list(found), "label": labels, "sequence": pa.array(letters, pa.large_string())})


def main() -> None:
    data, output = map(Path, sys.argv[1:3])
    with tempfile.TemporaryDirectory() as scratch:
        pq.write_table(joined(data), Path(scratch) / "genomes.parquet")
        build_dataset("genomes", output=output, data_dir=scratch, overwrite=True)


if __name__ == "__main__":
    main()
