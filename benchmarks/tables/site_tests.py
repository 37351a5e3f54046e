"""Site-level tests as miRBench has them: every model and baseline, whole and in parts, row by row.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.site_tests --mirbind2 mirbind2 --targetnet targetnet-published --rows runs/site-tests

Any Parquet table with `mirna_seq`, `target_seq` (50 nt) and `label` can be tested: `--test my.parquet`. In
`--rows`, one Parquet file a test holds the scores of every row. Duplex energies need ViennaRNA.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks._results import data_folder, write_result
from benchmarks.tables.pair_cnn import (
    duplex_energies,
    intervals,
    measure,
    seed_class,
    targetnet_scores,
)
from benchmarks.tables.pair_cnn_data import read_pairs
from benchmarks.tables.pair_cnn_training import model_logits
from seqformers import PairCnnModel
from seqformers.datasets_scripts.miraw.target_report import mirna_only_scores
from seqformers.hub.load import packaged_model

TESTS = {"clash2013_eval": "clash2013_eval_1_1.parquet"}
CLASSES = ("none", "6mer", "7mer-A1", "7mer-m8", "8mer")
FITTED = 20_000  # rows that the boosted trees learn from
PACKAGED = "pair CNN, packaged"
_PAIRS = {"AT": 1.0, "TA": 1.0, "CG": 1.3, "GC": 1.3, "GT": 0.4, "TG": 0.4}


def duplex_features(rows: pd.DataFrame, energies: np.ndarray | None) -> np.ndarray:
    """What boosted trees read: seed class, best ungapped pairing of nt 1-8, 9-16 and 1-20, letters, energy."""
    columns = [seed_class(rows)]
    strength = np.zeros((128, 128), np.float32)
    for pair, value in _PAIRS.items():
        strength[ord(pair[0]), ord(pair[1])] = value
    found = []
    for mirna, target in zip(rows["mirna_seq"], rows["target_seq"], strict=True):
        one, other = (np.frombuffer(text.encode(), np.uint8) for text in (mirna[:20], target[::-1]))
        cells = strength[one[:, None], np.pad(other, (0, len(one)), constant_values=ord("N"))[None]]
        at = np.arange(len(other))
        sums = np.cumsum([row[at + number] for number, row in enumerate(cells)], axis=0)
        seed, middle, whole = sums[7], sums[min(15, len(sums) - 1)] - sums[7], sums[-1]
        best = int(seed.argmax())
        found.append((seed.max(), middle.max(), whole.max(), middle[best], best))
    columns += list(np.array(found).T)
    columns += [rows["target_seq"].str.count(letter).to_numpy() for letter in "ACGTN"]
    if energies is not None:
        columns.append(energies)
    return np.column_stack(columns)


def boosted(folder: Path, rows: pd.DataFrame, energies: np.ndarray | None) -> np.ndarray:
    """Scores of boosted trees that learned from the chimeric pairs of the training split."""
    pairs = read_pairs(folder)
    pairs = pairs[pairs["split"] == "train"].sample(FITTED, random_state=0)
    trees = HistGradientBoostingClassifier(random_state=0, max_iter=200)
    trees.fit(duplex_features(pairs, None if energies is None else duplex_energies(pairs)), pairs["label"])
    return trees.predict_proba(duplex_features(rows, energies))[:, 1]


def scores_of(rows: pd.DataFrame, folder: Path, mirbind2: Path | None, targetnet: Path | None) -> dict[str, Any]:
    """Scores of every model and baseline, `(n,)` each."""
    texts = list(rows["mirna_seq"]), list(rows["target_seq"])
    energies = duplex_energies(rows)
    scores = {PACKAGED: model_logits(PairCnnModel.from_pretrained(packaged_model("pair_cnn")).eval(), *texts)}
    if mirbind2 is not None:
        scores["miRBind2, published"] = model_logits(PairCnnModel.from_pretrained(mirbind2).eval(), *texts)
    if targetnet is not None:
        scores["TargetNet, published"] = targetnet_scores(targetnet, rows)
    scores["TargetNet, packaged"] = targetnet_scores(packaged_model("targetnet"), rows)
    if energies is not None:
        scores["duplex energy (RNAduplex)"] = -energies
        scores["duplex energy and seed class, mean rank"] = rankdata(-energies) + rankdata(seed_class(rows))
    scores["boosted trees on duplex features"] = boosted(folder, rows, energies)
    scores["seed class"] = seed_class(rows)
    known = pd.read_parquet(folder / "clash2013_train_1_1.parquet")
    short = [table.assign(mirna_seq=table["mirna_seq"].str[:20]) for table in (known, rows)]
    scores["miRNA only"] = mirna_only_scores(*short)
    return scores


def parts_of(rows: pd.DataFrame, folder: Path) -> dict[str, np.ndarray]:
    """Rows by seed class, and by whether training knows the miRNA (its first 20 nt)."""
    kind = seed_class(rows)
    parts = {f"seed {name}": kind == number for number, name in enumerate(CLASSES)}
    fitted = read_pairs(folder)
    known = set(fitted.loc[fitted["split"] == "train", "mirna_seq"].str[:20])
    seen = rows["mirna_seq"].str[:20].isin(known).to_numpy()
    return parts | {"miRNA in training": seen, "miRNA not in training": ~seen}


def measured_parts(rows: pd.DataFrame, scores: dict[str, np.ndarray], parts: dict[str, np.ndarray]) -> dict[str, Any]:
    """Measures with intervals over miRNAs, and of each part that has both labels."""
    found: dict[str, Any] = {"rows": len(rows), "mirnas": int(rows["mirna_seq"].nunique()), "models": {}, "parts": {}}
    for name, values in scores.items():
        found["models"][name] = measure(rows, values) | {"interval": intervals(rows, values)}
    for part, inside in parts.items():
        table = rows[inside].reset_index(drop=True)
        if table["label"].nunique() == 2:
            models = {name: measure(table, values[inside]) for name, values in scores.items()}
            found["parts"][part] = {"rows": len(table), "targets": int(table["label"].sum()), "models": models}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", type=Path, nargs="*", default=[], help="Parquet tables beside clash2013_eval")
    parser.add_argument("--rows", type=Path, required=True, help="folder for the scores of every row")
    parser.add_argument("--mirbind2", type=Path, help="folder that `seqformers convert mirbind2` wrote")
    parser.add_argument("--targetnet", type=Path, help="folder that `seqformers convert targetnet` wrote")
    given = parser.parse_args()
    torch.set_num_threads(1)
    folder = data_folder("mirna_target")
    given.rows.mkdir(parents=True, exist_ok=True)
    tests = {name: folder / file for name, file in TESTS.items()} | {path.stem: path for path in given.test}
    result = {}
    for name, path in tests.items():
        rows = pd.read_parquet(path).reset_index(drop=True)
        scores = scores_of(rows, folder, given.mirbind2, given.targetnet)
        rows.assign(**scores).to_parquet(given.rows / f"{name}.parquet")
        result[name] = measured_parts(rows, scores, parts_of(rows, folder))
        for model, found in result[name]["models"].items():
            print(name, model, {key: value for key, value in found.items() if key != "interval"}, flush=True)
    write_result("site_tests", result, data="mirna_target", seeds=[0])


if __name__ == "__main__":
    main()
