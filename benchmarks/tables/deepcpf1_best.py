"""The guide model `best`: three wide networks, and boosted trees that read the structure of the crRNA.

    export SEQFORMERS_DATA=data
    python -m benchmarks.tables.deepcpf1_best choose --work runs/best
    python -m benchmarks.tables.deepcpf1_best train --work runs/best

`choose` says by two of five folds inside HT 1-1 what the trees should read; `train` learns from all of HT 1-1, writes
the members to `modeling/guides/pretrained/deepcpf1_best`, and measures every member on HT 1-2 and HT 2. Finished fits
are kept under `--work`. Results are `results/deepcpf1_best*.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks._results import data_folder, write_result
from benchmarks.tables.deepcpf1_baselines import structure_features
from benchmarks.tables.deepcpf1_fits import NETWORKS, TESTS, TRAIN, Data, Fit, Store, fit_network, predict
from seqformers import DeepCpf1Config, DeepCpf1Model
from seqformers.guides.best import FEATURE_NAMES
from seqformers.guides.features import letter_features, melting_features
from seqformers.guides.folding import DIRECT_REPEAT

FOLDS, SEEDS = 2, (0, 1, 2)
WIDE = NETWORKS["wide_weighted"]
TREES: dict[str, Any] = {
    "n_jobs": 1, "verbose": -1, "random_state": 0, "deterministic": True, "force_row_wise": True,
    "n_estimators": 1500, "learning_rate": 0.025, "num_leaves": 12, "min_child_samples": 20,
    "colsample_bytree": 0.3, "subsample": 0.7, "subsample_freq": 1,
}  # fmt: skip
# What trees may read beside the letters and their melting temperatures: columns of `structure_features`, which are
# the crRNA (two energies, a probability a letter, three sums), then the guide alone (two energies, probabilities).
CRRNA = 2 + len(DIRECT_REPEAT) + 23 + 3
COLUMNS = CRRNA + 2 + 23
READS: dict[str, list[int]] = {
    "crRNA and guide alone": [*range(COLUMNS)],
    "no minimum energies": [column for column in range(COLUMNS) if column not in (0, CRRNA)],
    "crRNA": [*range(CRRNA)],
    "crRNA, no minimum energy": [*range(1, CRRNA)],
    "guide alone": [*range(CRRNA, COLUMNS)],
    "guide alone, no minimum energy": [*range(CRRNA + 1, COLUMNS)],
    "no structure": [],
}
SHIPPED = "crRNA, no minimum energy"  # columns of `seqformers.guides.folding.STRUCTURE_NAMES`


class Rows(Data):
    """The data sets with what the trees read."""

    def __init__(self, folder: Path, store: Store):
        super().__init__(folder)
        self.structure = {
            name: store.get(f"structure_{name}", lambda n=name: {"rows": structure_features(self.codes[n])})["rows"]
            for name in (TRAIN, *TESTS)
        }

    def read(self, name: str, columns: list[int]) -> np.ndarray:
        """What trees read of a data set."""
        codes = self.codes[name]
        return np.hstack([letter_features(codes), melting_features(codes), self.structure[name][:, columns]])


def fit_trees(data: Rows, columns: list[int], rows: np.ndarray) -> Any:
    """Boosted trees from these rows of HT 1-1, weighted by their reads."""
    from lightgbm import LGBMRegressor

    read, names = data.read(TRAIN, columns)[rows], list(FEATURE_NAMES) if columns == READS[SHIPPED] else "auto"
    trees = LGBMRegressor(**TREES)
    return trees.fit(read, data.labels[TRAIN][rows], sample_weight=data.weight[rows], feature_name=names)


def fit_wide(data: Rows, rows: np.ndarray, seed: int) -> DeepCpf1Model:
    torch.manual_seed(seed)
    model = DeepCpf1Model(DeepCpf1Config(output_scale=30, **WIDE["config"]))
    fit_network(
        model, data.codes[TRAIN][rows], data.labels[TRAIN][rows], data.weight[rows], seed=seed, epochs=WIDE["epochs"]
    )
    return model.eval()


# What the trees read -------------------------------------------------------------------------------------------------


def choose(data: Rows, store: Store) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    networks = [held_network(data, store, fold) for fold in range(FOLDS)]
    rows["one wide network"] = _folds(data, networks)
    for name, columns in READS.items():
        trees = [held_trees(data, store, name, columns, fold) for fold in range(FOLDS)]
        together = [(net + tree) / 2 for net, tree in zip(networks, trees, strict=True)]
        rows[name] = {"trees": _folds(data, trees), "with a wide network": _folds(data, together)}
    return {"rows": rows, "folds": f"{FOLDS} of 5"}


def held_network(data: Rows, store: Store, fold: int) -> np.ndarray:
    train, held = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)
    return store.get(
        f"held/wide_{fold}", lambda: {"held": predict(fit_wide(data, train, 0), data.codes[TRAIN][held])}
    )["held"]


def held_trees(data: Rows, store: Store, name: str, columns: list[int], fold: int) -> np.ndarray:
    train, held = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)

    def make() -> Fit:
        return {"held": fit_trees(data, columns, train).predict(data.read(TRAIN, columns)[held])}

    return store.get(f"held/trees_{name.replace(',', '').replace(' ', '_')}_{fold}", make)["held"]


def _folds(data: Rows, found: list[np.ndarray]) -> dict[str, Any]:
    values = [
        round(float(spearmanr(y, data.labels[TRAIN][data.fold == fold]).statistic), 4) for fold, y in enumerate(found)
    ]
    return {"spearman": round(float(np.mean(values)), 4), "folds": values}


# The shipped members -------------------------------------------------------------------------------------------------


def train(data: Rows, store: Store, work: Path) -> dict[str, Any]:
    """Learn what is missing under `work/members`, and measure."""
    members, every = work / "members", np.arange(len(data.labels[TRAIN]))
    for seed in SEEDS:
        if not (members / f"network-{seed}" / "model.safetensors").is_file():
            fit_wide(data, every, seed).save_pretrained(members / f"network-{seed}")
            print(f"network {seed}", flush=True)
    if not (members / "trees.txt").is_file():
        fit_trees(data, READS[SHIPPED], every).booster_.save_model(members / "trees.torn")
        (members / "trees.torn").rename(members / "trees.txt")
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("choose", "train"))
    parser.add_argument("--work", type=Path, required=True, help="folder of finished fits")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(arguments.work)
    data = Rows(data_folder("cpf1_activity"), store)
    if arguments.step == "choose":
        result = choose(data, store)
        print(json.dumps(result, indent=1))
        write_result("deepcpf1_best_choice", result, data="HT 1-1", seeds=[0])
    else:
        train(data, store, arguments.work)


if __name__ == "__main__":
    main()
