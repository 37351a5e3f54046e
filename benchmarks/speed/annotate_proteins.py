"""Speed of the packaged protein annotator on one thread: proteins and residues a second, from letters to answers.

python -m benchmarks.speed.annotate_proteins
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks._results import time_call, write_result
from seqformers.proteins.annotator import ProteinAnnotator

__all__ = ["main"]

_RESIDUES = "ARNDCQEGHILKMFPSTWYV"


def main() -> None:
    """Annotate 100 random proteins of typical lengths, several times."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(5.7, 0.6, 100)).astype(int).clip(40, 2000)
    proteins = ["".join(rng.choice(list(_RESIDUES), length)) for length in lengths]
    annotator = ProteinAnnotator()
    timing = time_call(lambda: annotator.annotate(proteins), repeats=5, warm_up=1)
    seconds = timing["median_cpu_s"]
    result = {
        **timing,
        "proteins": len(proteins),
        "residues": int(lengths.sum()),
        "proteins_per_second": len(proteins) / seconds,
        "residues_per_second": float(lengths.sum()) / seconds,
    }
    path = write_result("speed_annotate_proteins", result, data="random proteins", seeds=[0])
    print(
        f"{path}: {result['proteins_per_second']:.0f} proteins, {result['residues_per_second']:.0f} residues a second"
    )


if __name__ == "__main__":
    main()
