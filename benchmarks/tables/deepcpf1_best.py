"""The guide model `best`: three wide networks, and boosted trees that read the structure of the crRNA.

    export SEQFORMERS_DATA=data
    python -m benchmarks.tables.deepcpf1_best choose --work runs/best
    python -m benchmarks.tables.deepcpf1_best train --work runs/best
    python -m benchmarks.tables.deepcpf1_best measure --work runs/best

`choose` says by two of five folds inside HT 1-1 what the trees should read; `train` learns the members from all of
HT 1-1 into `--work`; `measure` scores those in the package on HT 1-2 and HT 2, each alone and together, beside the
same with the crRNA folded by ViennaRNA, and writes their card. Finished fits are kept under `--work`. Results are
`results/deepcpf1_best*.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks._results import RESULTS, commit_of, data_folder, write_result
from benchmarks.tables.deepcpf1_baselines import structure_features
from benchmarks.tables.deepcpf1_fits import NETWORKS, TESTS, TRAIN, Data, Fit, Store, fit_network, predict
from benchmarks.tables.rank_tests import bootstrap_interval, holm, steiger
from seqformers import DeepCpf1Config, DeepCpf1Model
from seqformers.guides.best import FEATURE_NAMES, BestScorer, best_folder
from seqformers.guides.features import letter_features, melting_features
from seqformers.guides.folding import DIRECT_REPEAT
from seqformers.guides.folding import structure_features as folded_here
from seqformers.guides.scorer import GuideScorer

FOLDS, SEEDS = 2, (0, 1, 2)
WIDE = NETWORKS["wide_weighted"]
TREES: dict[str, Any] = {
    "n_jobs": 1, "verbose": -1, "random_state": 0, "deterministic": True, "force_row_wise": True,
    "n_estimators": 1500, "learning_rate": 0.025, "num_leaves": 12, "min_child_samples": 20,
    "colsample_bytree": 0.3, "subsample": 0.7, "subsample_freq": 1,
}  # fmt: skip
# What trees may read beside the letters and their melting temperatures: the structure of the crRNA by this package, or
# columns of ViennaRNA's, which are the crRNA (two energies, a probability a letter, three sums), then the guide alone.
CRRNA = 2 + len(DIRECT_REPEAT) + 23 + 3
COLUMNS = CRRNA + 2 + 23
SHIPPED, EXACT = "crRNA, folded by this package", "crRNA, no minimum energy"
READS: dict[str, list[int] | None] = {
    SHIPPED: None,
    "crRNA and guide alone": [*range(COLUMNS)],
    "no minimum energies": [column for column in range(COLUMNS) if column not in (0, CRRNA)],
    "crRNA": [*range(CRRNA)],
    EXACT: [*range(1, CRRNA)],
    "guide alone": [*range(CRRNA, COLUMNS)],
    "guide alone, no minimum energy": [*range(CRRNA + 1, COLUMNS)],
    "no structure": [],
}


class Rows(Data):
    """The data sets with what the trees read."""

    def __init__(self, folder: Path, store: Store):
        super().__init__(folder)
        self.structure = {
            name: store.get(f"structure_{name}", lambda n=name: {"rows": structure_features(self.codes[n])})["rows"]
            for name in (TRAIN, *TESTS)
        }

    def read(self, name: str, reads: str) -> np.ndarray:
        """What trees read of a data set; `reads` is one of [`READS`]."""
        codes, columns = self.codes[name], READS[reads]
        structure = folded_here(codes) if columns is None else self.structure[name][:, columns]
        return np.hstack([letter_features(codes), melting_features(codes), structure])


def fit_trees(data: Rows, reads: str, rows: np.ndarray) -> Any:
    """Boosted trees from these rows of HT 1-1, weighted by their reads."""
    from lightgbm import LGBMRegressor

    read, names = data.read(TRAIN, reads)[rows], list(FEATURE_NAMES) if reads == SHIPPED else "auto"
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
    for name in READS:
        trees = [held_trees(data, store, name, fold) for fold in range(FOLDS)]
        together = [(net + tree) / 2 for net, tree in zip(networks, trees, strict=True)]
        rows[name] = {"trees": _folds(data, trees), "with a wide network": _folds(data, together)}
    return {"rows": rows, "folds": f"{FOLDS} of 5"}


def held_network(data: Rows, store: Store, fold: int) -> np.ndarray:
    train, held = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)
    return store.get(
        f"held/wide_{fold}", lambda: {"held": predict(fit_wide(data, train, 0), data.codes[TRAIN][held])}
    )["held"]


def held_trees(data: Rows, store: Store, name: str, fold: int) -> np.ndarray:
    train, held = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)

    def make() -> Fit:
        return {"held": fit_trees(data, name, train).predict(data.read(TRAIN, name)[held])}

    return store.get(f"held/trees_{name.replace(',', '').replace(' ', '_')}_{fold}", make)["held"]


def _folds(data: Rows, found: list[np.ndarray]) -> dict[str, Any]:
    values = [
        round(float(spearmanr(y, data.labels[TRAIN][data.fold == fold]).statistic), 4) for fold, y in enumerate(found)
    ]
    return {"spearman": round(float(np.mean(values)), 4), "folds": values}


# The shipped members -------------------------------------------------------------------------------------------------


def train(data: Rows, work: Path) -> None:
    """Learn what is missing under `work/members`."""
    members, every = work / "members", np.arange(len(data.labels[TRAIN]))
    for seed in SEEDS:
        if not (members / f"network-{seed}" / "model.safetensors").is_file():
            fit_wide(data, every, seed).save_pretrained(members / f"network-{seed}")
    if not (members / "trees.txt").is_file():
        fit_trees(data, SHIPPED, every).booster_.save_model(members / "trees.torn")
        (members / "trees.torn").rename(members / "trees.txt")


def measure(data: Rows, store: Store) -> dict[str, Any]:
    """Every member of the package, the networks together, and all of them, beside the model `fast`."""
    best, fast = BestScorer(device="cpu"), GuideScorer(device="cpu")
    exact = store.get("exact_trees", lambda: exact_trees(data))
    fits: dict[str, Fit] = {}
    for name in TESTS:
        networks, trees = best.members(data.codes[name])
        found = {f"network {n}": net.score(data.codes[name])[0] for n, net in enumerate(best.networks)}
        found |= {"mean of the networks": networks, "trees": trees, "best": (networks + trees) / 2}
        found |= {"best, folded by ViennaRNA": (networks + exact[name]) / 2}
        for member, scores in {"fast": fast.score(data.codes[name])[0], **found}.items():
            fits.setdefault(member, {})[name] = scores
    rows = {member: {name: _row(fit[name], data.labels[name]) for name in TESTS} for member, fit in fits.items()}
    tests = []
    for other in fits:
        for name in TESTS if other != "best" else ():
            _, p = steiger(fits["best"][name], fits[other][name], data.labels[name])
            apart = bootstrap_interval(fits["best"][name], data.labels[name], fits[other][name])
            tests.append({"second": other, "data": name, "p": float(f"{p:.2g}"), "difference_95": apart})
    for test, adjusted in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = adjusted
    return {"rows": rows, "tests": tests}


def exact_trees(data: Rows) -> Fit:
    """The same trees with the crRNA folded by ViennaRNA."""
    trees = fit_trees(data, EXACT, np.arange(len(data.labels[TRAIN])))
    return {name: trees.predict(data.read(name, EXACT)) for name in TESTS}


def _row(scores: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    rho = float(spearmanr(scores, labels).statistic)
    return {"spearman": round(rho, 4), "interval_95": bootstrap_interval(scores, labels)}


# Page and card -------------------------------------------------------------------------------------------------------


def page() -> str:
    """The sections of `deepcpf1.md`."""
    found = json.loads((RESULTS / "deepcpf1_best.json").read_text(encoding="utf-8"))
    choice = json.loads((RESULTS / "deepcpf1_best_choice.json").read_text(encoding="utf-8"))
    lines = [
        "## The model `best`\n\nHalf the mean of three wide networks, half boosted trees that read letters, melting "
        "temperatures and the structure of the crRNA; all learned from HT 1-1. Bootstrap intervals of 95 %; p: "
        f"Steiger's test of `best` against the row, Holm's correction for all {len(found['result']['tests'])}.\n",
        *member_table(found["result"]),
        f"\n<sub>`{found['command']}`, commit {commit_of(found)}.</sub>\n",
        f"What the trees read was chosen inside HT 1-1 ({choice['result']['folds']} folds); the cheapest of those "
        f"that are level is shipped: {SHIPPED}, which takes a fifteenth of ViennaRNA's time. The other rows are "
        "ViennaRNA's.\n",
        "| structure read by the trees | trees | with a wide network |\n|---|---|---|",
    ]
    for name, row in choice["result"]["rows"].items():
        cells = [row] if "spearman" in row else [row["trees"], row["with a wide network"]]
        values = [f"{cell['spearman']:.4f} ({', '.join(f'{fold:.4f}' for fold in cell['folds'])})" for cell in cells]
        lines.append(f"| {name} | {' | '.join(values if len(values) > 1 else ['', *values])} |")
    return "\n".join(lines) + f"\n\n<sub>`{choice['command']}`, commit {commit_of(choice)}.</sub>"


def member_table(result: dict[str, Any]) -> list[str]:
    """Lines of the table of members."""
    p = {(test["second"], test["data"]): f"{test['p_holm']:.2g}" for test in result["tests"]}
    lines = ["| Spearman's rho | HT 1-2 | HT 2 | p, HT 1-2 | p, HT 2 |", "|---|---|---|---|---|"]
    for member, row in result["rows"].items():
        cells = [
            f"{row[name]['spearman']:.4f} ({row[name]['interval_95'][0]:.3f} to {row[name]['interval_95'][1]:.3f})"
            for name in TESTS
        ]
        lines.append(f"| {member} | {' | '.join(cells)} | {' | '.join(p.get((member, name), '') for name in TESTS)} |")
    return lines


def card() -> str:
    """The card of the folder."""
    found = json.loads((RESULTS / "deepcpf1_best.json").read_text(encoding="utf-8"))
    table = "\n".join(member_table(found["result"]))
    return f"""---
library_name: seqformers
license: apache-2.0
tags:
- seqformers
- biology
- deepcpf1
---

# deepcpf1-guides-best

Predicts how often Cpf1 (Cas12a) cuts a target, in percent of indels: the mean of two halves, three networks of the
shape of `deepcpf1` (twice the published width; seeds 0, 1, 2) and boosted trees that also read the structure of the
crRNA. `seqformers score-guides gene.fasta` asks it; nothing but the package is needed.

| file | what |
|---|---|
| `network-0` to `network-2` | `DeepCpf1Model`, loads by itself with `AutoModel` |
| `trees.txt` | boosted trees as LightGBM's text |

The trees read letters and pairs of letters by position and in total, GC, melting temperatures, and the free energy and
pairing of the crRNA (a partition function over many guides at once, in `seqformers.guides.folding`).

## Results

{table}

Bootstrap intervals of 95 %; p: Steiger's test of `best` against the row, with Holm's correction. HT 1-2 and HT 2 were
not used to choose anything. `{found["command"]}`, commit {commit_of(found)}.

## Limits

- Trained on AsCpf1 at targets integrated into HEK293T cells; compare guides of one gene with each other.
- Scores say nothing of cutting elsewhere: `--genome` counts off-targets.
- No chromatin accessibility.
- Trees and folding make it many times slower than `fast`.
- Not for clinical decisions.

## Training data

cpf1, HT 1-1: 15,000 targets of Kim et al. 2018 (Nature Biotechnology 36:239), weighted by their reads. Licence: not
stated; the data belong to the authors.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("choose", "train", "measure"))
    parser.add_argument("--work", type=Path, required=True, help="folder of finished fits")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(arguments.work)
    folder = data_folder("cpf1_activity")
    if arguments.step == "choose":
        result = choose(Rows(folder, store), store)
        print(json.dumps(result, indent=1))
        write_result("deepcpf1_best_choice", result, data="HT 1-1", seeds=[0])
    elif arguments.step == "train":
        train(Rows(folder, store), arguments.work)
    else:
        sizes = "HT 1-1 (15,000 to train on), HT 1-2 (1,292), HT 2 (2,963)"
        write_result("deepcpf1_best", measure(Rows(folder, store), store), data=sizes, seeds=list(SEEDS))
        (best_folder() / "README.md").write_text(card(), encoding="utf-8")


if __name__ == "__main__":
    main()
