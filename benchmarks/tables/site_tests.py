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
from sklearn.linear_model import LogisticRegression

from benchmarks._results import data_folder, write_result
from benchmarks.tables.duplex_features import duplex_features
from benchmarks.tables.pair_cnn import (
    by_source,
    duplex_energies,
    intervals,
    measure,
    seed_class,
    targetnet_scores,
)
from benchmarks.tables.pair_cnn_data import read_pairs, validation_pairs
from benchmarks.tables.pair_cnn_training import model_logits
from seqformers import PairCnnModel
from seqformers.datasets_scripts.miraw.target_report import mirna_only_scores
from seqformers.hub.load import packaged_model

TESTS = {"clash2013_eval": "clash2013_eval_1_1.parquet"}
CLASSES = ("none", "6mer", "7mer-A1", "7mer-m8", "8mer")
FITTED = 20_000  # rows that the boosted trees learn from
FOLDS = 5
NETWORK, TREES = "pair CNN, packaged", "boosted trees on duplex features"
TOGETHER = "pair CNN and boosted trees"


class Boosted:
    """Boosted trees on duplex and seed features, alone and beside the network.

    The trees learn from pairs of the training split. How their logit and the network's add up is learned on the
    held-out target clusters, which also say whether the two together are better than the network: there the rule for
    each fifth of the clusters comes from the other four.

    Attributes:
        choice (`dict`): Measures on the held-out clusters of the network and of the two together, and by how much the
            second is above the first, with 95 % of a bootstrap over miRNAs.
    """

    def __init__(self, folder: Path, network: PairCnnModel):
        pairs = read_pairs(folder)
        fitted = pairs[(pairs["split"] == "train") & ~pairs["single"]].sample(FITTED, random_state=0)
        self.trees = HistGradientBoostingClassifier(random_state=0, max_iter=200)
        self.trees.fit(_features(fitted), fitted["label"])
        held = validation_pairs(pairs)
        inputs = self._inputs(held, model_logits(network, list(held["mirna_seq"]), list(held["target_seq"])))
        together = np.zeros(len(held))
        part = held["cluster"].to_numpy() % FOLDS
        for fold in range(FOLDS):
            rule = LogisticRegression().fit(inputs[part != fold], held["label"][part != fold])
            together[part == fold] = rule.decision_function(inputs[part == fold])
        self.rule = LogisticRegression().fit(inputs, held["label"])
        scores = {NETWORK: inputs[:, 0], TREES: inputs[:, 1], TOGETHER: together}
        self.choice = {name: by_source(held, values) for name, values in scores.items()}
        self.choice["together minus network"] = difference(held, together, inputs[:, 0])

    def _inputs(self, rows: pd.DataFrame, logits: np.ndarray) -> np.ndarray:
        """The network's logit and the trees', `(n, 2)`."""
        return np.column_stack([logits, self.trees.decision_function(_features(rows))])

    def scores(self, rows: pd.DataFrame, logits: np.ndarray) -> dict[str, np.ndarray]:
        """Of the trees alone, and of both."""
        inputs = self._inputs(rows, logits)
        return {TREES: inputs[:, 1], TOGETHER: self.rule.decision_function(inputs)}


def _features(rows: pd.DataFrame) -> np.ndarray:
    return duplex_features(rows, seed_class(rows))


def difference(rows: pd.DataFrame, scores: np.ndarray, others: np.ndarray, draws: int = 200) -> dict[str, Any]:
    """By how much scores are above others in AUROC within miRNAs and average precision; intervals over miRNAs."""
    numbers, names = pd.factorize(rows["mirna_seq"])
    members = pd.Series(range(len(rows))).groupby(numbers).agg(list).to_dict()
    generator = np.random.default_rng(0)
    found: dict[str, list[float]] = {}
    for draw in range(draws + 1):
        drawn = range(len(names)) if draw == 0 else generator.integers(0, len(names), len(names))
        index = np.concatenate([members[number] for number in drawn])
        table = rows.iloc[index]
        one, other = measure(table, scores[index]), measure(table, others[index])
        for metric in ("auroc_within_mirna", "average_precision"):
            found.setdefault(metric, []).append(one[metric] - other[metric])
    return {
        metric: {"value": round(values[0], 4), "interval": np.quantile(values[1:], [0.025, 0.975]).round(4).tolist()}
        for metric, values in found.items()
    }


def scores_of(
    rows: pd.DataFrame, folder: Path, network: PairCnnModel, boosted: Boosted, mirbind2: Path | None,
    targetnet: Path | None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of every model and baseline, `(n,)` each."""
    texts = list(rows["mirna_seq"]), list(rows["target_seq"])
    energies = duplex_energies(rows)
    scores = {NETWORK: model_logits(network, *texts)}
    scores |= boosted.scores(rows, scores[NETWORK])
    if mirbind2 is not None:
        scores["miRBind2, published"] = model_logits(PairCnnModel.from_pretrained(mirbind2).eval(), *texts)
    if targetnet is not None:
        scores["TargetNet, published"] = targetnet_scores(targetnet, rows)
    scores["TargetNet, packaged"] = targetnet_scores(packaged_model("targetnet"), rows)
    if energies is not None:
        scores["duplex energy (RNAduplex)"] = -energies
        scores["duplex energy and seed class, mean rank"] = rankdata(-energies) + rankdata(seed_class(rows))
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
    network = PairCnnModel.from_pretrained(packaged_model("pair_cnn")).eval()
    boosted = Boosted(folder, network)
    print(boosted.choice, flush=True)
    result: dict[str, Any] = {}
    for name, path in tests.items():
        rows = pd.read_parquet(path).reset_index(drop=True)
        scores = scores_of(rows, folder, network, boosted, given.mirbind2, given.targetnet)
        rows.assign(**scores).to_parquet(given.rows / f"{name}.parquet")
        result[name] = measured_parts(rows, scores, parts_of(rows, folder))
        for model, found in result[name]["models"].items():
            print(name, model, {key: value for key, value in found.items() if key != "interval"}, flush=True)
    result["held-out clusters"] = boosted.choice
    write_result("site_tests", result, data="mirna_target", seeds=[0])


if __name__ == "__main__":
    main()
