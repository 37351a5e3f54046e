"""Thresholds of the target scan's scout: what each pair of them loses of an exhaustive scan, and what it reads.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.pair_cnn_thresholds --work runs/pair_cnn_scout

On miRNAs and 3'UTRs that neither taught the scout nor measure the scan (`pair_cnn_scout measure`). Near a window whose
logit by the scout is `least` or more the best pairing of a stretch is scored, near one of `sure` all good pairings;
on mRNAs below `short` nt a logit less is asked for each halving.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._results import data_folder, write_result
from benchmarks.tables.pair_cnn_scout import drawn_sets, lost_pairs, lost_sites, scanned, tables_of
from seqformers.targets.engines import open_scanner
from seqformers.targets.pair_sites import SiteFinder
from seqformers.targets.places import Laid

LEAST, SURE, SHORT = (1.25, 1.5, 1.0), (2.0,), (1_000.0, 0.0)
SHARE = 0.05  # of the pairs: a hundredth of so few is too few


class RememberingFinder(SiteFinder):
    """A finder that reads nothing twice, and counts the windows it was asked for."""

    seen: dict[bytes, np.ndarray]
    known: dict[bytes, float]
    asked = 0

    def _look(self, mirna: np.ndarray, laid: Laid) -> np.ndarray:
        key = mirna.tobytes() + laid.begins.tobytes()
        if key not in self.seen:
            self.seen[key] = super()._look(mirna, laid)
        return self.seen[key]

    def site_logits(self, mirna_ids: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """As of the class above."""
        keys = [row.tobytes() for row in np.concatenate([mirna_ids, windows], axis=1)]
        self.asked += len(keys)
        new = [number for number, key in enumerate(keys) if key not in self.known]
        logits = super().site_logits(mirna_ids[new], windows[new]).tolist() if new else []
        self.known.update(zip((keys[number] for number in new), logits, strict=True))
        return np.array([self.known[key] for key in keys], np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--mirnas", type=int, default=40)
    parser.add_argument("--utrs", type=int, default=70)
    given = parser.parse_args()
    torch.set_num_threads(1)
    mirnas, mrnas = drawn_sets(data_folder("mirna_target"), given.utrs, choosing=True)
    mirnas = dict(list(mirnas.items())[: given.mirnas])
    whole = scanned(mirnas, mrnas, given.work / f"choosing-{given.utrs}", exhaustive=True)
    scanner: Any = open_scanner(energy=False, threads=1)
    scanner.finder.__class__ = RememberingFinder
    finder = scanner.finder
    finder.seen, finder.known = {}, {}
    rows = []
    for finder.least, finder.sure, finder.short in product(LEAST, SURE, SHORT):
        finder.asked = 0
        pairs, sites = tables_of(scanner, mirnas, mrnas)
        found = lost_sites(whole[1], sites) | lost_pairs(whole[0], pairs, SHARE)
        found["best_pairs_lost_of_1_percent"] = lost_pairs(whole[0], pairs)["best_pairs_lost"]
        kept = ("best_sites", "best_sites_lost", "best_pairs", "best_pairs_lost", "best_pairs_lost_of_1_percent",
                "spearman_of_pair_scores")  # fmt: skip
        windows = finder.asked / (len(mirnas) * sum(map(len, mrnas.values()))) * 1_000
        rows.append(
            {"least": finder.least, "sure": finder.sure, "short": finder.short, "windows_a_kb": round(windows, 3)}
        )
        rows[-1] |= {name: found[name] for name in kept}
        print(json.dumps(rows[-1]), flush=True)
    write_result(
        "pair_cnn_thresholds",
        {"pairs": len(whole[0]), "share_of_pairs": SHARE, "thresholds": rows},
        data="mirna_target",
        seeds=[0],
    )


if __name__ == "__main__":
    main()
