"""Tables of Cpf1 guide activity: models and baselines, input lengths, nested cross-validation.

    export SEQFORMERS_DATA=data SEQFORMERS_CHECKPOINTS=checkpoints
    python -m benchmarks.tables.deepcpf1 models --work runs/tables
    python -m benchmarks.tables.deepcpf1 lengths --work runs/tables
    python -m benchmarks.tables.deepcpf1 nested-cv --work runs/tables --sizes 1000 --configurations 18

Networks are trained on all of HT 1-1; HT 1-2 and HT 2 only test. What was chosen (epochs, rates, weights of rows) was
chosen by cross-validation inside HT 1-1, whose value stands beside. Each fit is stored under `--work` when it is done;
the same command after a kill goes on with the next. Results are `results/deepcpf1_*.json` and `tables/deepcpf1.md`.
Networks learn by a plain loop (hundreds of small fits); the recipes in `benchmarks/recipes/deepcpf1` train the same
with Trainer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks._results import RESULTS, ROOT, commit_of, data_folder, write_result
from benchmarks.tables import deepcpf1_best, deepcpf1_few_labels, deepcpf1_student
from benchmarks.tables.deepcpf1_baselines import KINDS, fit_classical, fit_trees
from benchmarks.tables.deepcpf1_fits import (
    LENGTHS,
    NETWORKS,
    TESTS,
    TRAIN,
    Data,
    Fit,
    Store,
    fit_network,
    network,
    predict,
)
from benchmarks.tables.rank_tests import bootstrap_interval, holm, steiger
from seqformers import DeepCpf1Config, DeepCpf1Model
from seqformers.hub.load import packaged_model

FOLDS = 2  # of the five in HT 1-1
CHOICES = ("paper", "paper_weighted", "wide_weighted")  # compared by those folds
TREES = "trees + crRNA structure"
NESTED_BASELINES = ("l1", "l2", "boosted_trees")
SIZES = (1000, 2000, 4000, 8000, 13500)
# The 180 configurations: the axes are the paper's (filters, their length, dense layers, units), their values are ours.
SPACE = {
    "num_filters": (20, 40, 60, 80, 100),
    "kernel_size": (3, 5, 7, 9),
    "layers": (1, 2, 3),
    "units": (40, 80, 120),
}


MISSING = """## What is not measured here

Rows of the dissertation whose labels are in no public table at hand: the binary row of HT 3, and the second stage,
which reads chromatin accessibility (learned from HEK-lenti; HEK-plasmid and HCT-plasmid). They are in Supplementary
Table 1 of the paper: put the workbook, or one file a set (`ht_3.csv`, `hek_lenti.csv`, `hek_plasmid.csv`,
`hct_plasmid.csv`: 34-letter targets, an indel frequency or a `label` of 0 and 1, accessibility), into the folder that
`data.data_dir` names. Then

```bash
seqformers finetune benchmarks/recipes/deepcpf1/seq-deepcpf1.yaml data.data_dir=cpf1_activity \\
    --output runs/seq-deepcpf1
seqformers evaluate runs/seq-deepcpf1 data.config=ht_3 metrics=[auroc_positive]
seqformers finetune benchmarks/recipes/deepcpf1/accessibility.yaml data.data_dir=cpf1_activity \\
    model.from=runs/seq-deepcpf1 --output runs/deepcpf1
seqformers evaluate runs/deepcpf1 data.config=hek_plasmid metrics=[spearman,auroc_positive]
```

learn both stages and write their scores; `hek-plasmid.yaml` and `hct-plasmid.yaml` are the paper's variants."""


# Models and baselines ------------------------------------------------------------------------------------------------


def models_table(data: Data, store: Store, arguments: argparse.Namespace) -> dict[str, Any]:
    fits: dict[str, list[Fit]] = {"pam_alone": [pam_alone(data)]}
    for kind in KINDS:
        fits[kind] = [store.get(kind, lambda kind=kind: classical(data, kind))]
    for name in NETWORKS:
        fits[name] = [store.get(f"{name}_{s}", lambda n=name, s=s: tested(data, n, s)) for s in range(arguments.seeds)]
    for name in NETWORKS:
        fits[f"{name}, mean of {arguments.seeds}"] = [_mean(fits[name])]
    fits[TREES] = [store.get("structure_trees", lambda: structure_trees(data))]
    both = f"wide_weighted, mean of {arguments.seeds}"
    fits[f"{both}, and {TREES}"] = [_mean([*fits[both], *fits[TREES]])]
    if "SEQFORMERS_CHECKPOINTS" in os.environ:
        fits["published_weights"] = [published(data, Path(os.environ["SEQFORMERS_CHECKPOINTS"]))]
    fits["packaged"] = [_scores(data, DeepCpf1Model.from_pretrained(packaged_model("deepcpf1")))]
    rows = {kind: _summary(data, found) for kind, found in fits.items()}
    held = {name: held_out(data, store, name) for name in (*CHOICES, TREES)}
    for name, found in held.items():
        rows[name]["cross_validation"] = _over_folds(data, found)
    together = [(net + trees) / 2 for net, trees in zip(held["wide_weighted"], held[TREES], strict=True)]
    rows[f"{both}, and {TREES}"]["cross_validation"] = _over_folds(data, together)
    return {"rows": rows, "tests": _tests(data, fits)}


def tested(data: Data, name: str, seed: int) -> Fit:
    every = np.arange(len(data.labels[TRAIN]))
    return dict(zip(TESTS, network(data, name, every, [data.codes[test] for test in TESTS], seed), strict=True))


def classical(data: Data, kind: str) -> Fit:
    found = fit_classical(kind, data.features(TRAIN), data.labels[TRAIN], [data.features(test) for test in TESTS])
    return dict(zip(TESTS, found, strict=True))


def structure_trees(data: Data) -> Fit:
    """Boosted trees that also read the folding of the crRNA, rows weighted by their reads."""
    test = [data.features(name, structure=True) for name in TESTS]
    found = fit_trees(data.features(TRAIN, structure=True), data.labels[TRAIN], data.weight, test)
    return dict(zip(TESTS, found, strict=True))


def held_out(data: Data, store: Store, name: str) -> list[np.ndarray]:
    """Predictions for each of the first folds of HT 1-1, learned from the others."""

    def make(train: np.ndarray, held: np.ndarray) -> Fit:
        if name == TREES:
            rows = data.features(TRAIN, structure=True)
            return {"held": fit_trees(rows[train], data.labels[TRAIN][train], data.weight[train], [rows[held]])[0]}
        return {"held": network(data, name, train, [data.codes[TRAIN][held]], seed=0)[0]}

    found = []
    for fold in range(FOLDS):
        train, held = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)
        key = "structure_trees" if name == TREES else name
        found.append(store.get(f"folds/{key}_{fold}", lambda t=train, h=held: make(t, h))["held"])
    return found


def _over_folds(data: Data, found: list[np.ndarray]) -> float:
    """Mean Spearman over folds."""
    values = [spearmanr(y, data.labels[TRAIN][data.fold == fold]).statistic for fold, y in enumerate(found)]
    return round(float(np.mean(values)), 4)


def pam_alone(data: Data) -> Fit:
    """The mean label of the training targets with the same PAM."""
    rows = data.tables[TRAIN]
    means = rows.groupby(rows.target_34.str[4:8]).indel_freq_pct.mean()
    return {name: data.tables[name].target_34.str[4:8].map(means).to_numpy() for name in TESTS}


def published(data: Data, checkpoints: Path) -> Fit:
    from seqformers.convert.deepcpf1 import load_deepcpf1_weights

    return _scores(data, load_deepcpf1_weights(checkpoints / "deepcpf1" / "Seq_deepCpf1_weights.h5"))


def _scores(data: Data, model: torch.nn.Module) -> Fit:
    return {name: predict(model, data.codes[name]) for name in TESTS}


def _mean(fits: list[Fit]) -> Fit:
    return {name: np.mean([fit[name] for fit in fits], axis=0) for name in TESTS}


def _summary(data: Data, fits: list[Fit]) -> dict[str, Any]:
    """Spearman a test set: mean, values and standard deviation over seeds, or the bootstrap interval of one fit."""
    out: dict[str, Any] = {}
    for name in TESTS:
        y = data.labels[name]
        values = [float(spearmanr(fit[name], y).statistic) for fit in fits]
        out[name] = {"spearman": round(float(np.mean(values)), 4)}
        if len(values) > 1:
            out[name] |= {"values": [round(v, 4) for v in values], "sd": round(float(np.std(values, ddof=1)), 4)}
        else:
            out[name]["interval_95"] = bootstrap_interval(fits[0][name], y)
    return out


def _tests(data: Data, fits: dict[str, list[Fit]]) -> list[dict[str, Any]]:
    """The packaged model against every other (its first seed)."""
    rows = []
    for other, name in itertools.product([kind for kind in fits if kind != "packaged"], TESTS):
        first, second, y = fits["packaged"][0][name], fits[other][0][name], data.labels[name]
        z, p = steiger(first, second, y)
        rows.append({
            "first": "packaged", "second": other, "data": name, "steiger_z": round(z, 2), "p": float(f"{p:.2g}"),
            "difference_95": bootstrap_interval(first, y, second),
        })  # fmt: skip
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    return rows


# Input length --------------------------------------------------------------------------------------------------------


def lengths_table(data: Data, store: Store, arguments: argparse.Namespace) -> dict[str, Any]:
    def make(length: int, seed: int) -> Fit:
        torch.manual_seed(seed)
        model = DeepCpf1Model(DeepCpf1Config(context_length=length, output_scale=30))
        fit_network(model, data.context(TRAIN, length), data.labels[TRAIN], seed=seed, epochs=35)
        return {name: predict(model, data.context(name, length)) for name in TESTS}

    rows = {}
    for length in LENGTHS:
        seeds = range(arguments.seeds)
        fits = [store.get(f"length{length}_{s}", lambda n=length, s=s: make(n, s)) for s in seeds]
        rows[str(length)] = _summary(data, fits)
    ends = {end for name in (TRAIN, *TESTS) for end in data.tables[name].context_50.str[40:]}
    assert len(ends) == 1
    return {"rows": rows, "letters_41_to_50": ends.pop()}


# Nested cross-validation ---------------------------------------------------------------------------------------------


def configurations() -> list[dict[str, int]]:
    """The 180 configurations in a fixed, shuffled order, so that any first part of them is a random search."""
    every = [dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values())]
    return [every[index] for index in np.random.default_rng(0).permutation(len(every))]


def nested_table(data: Data, store: Store, arguments: argparse.Namespace) -> dict[str, Any]:
    """Ten outer folds test, five inner folds choose by squared error; baselines learn and test on the same rows.

    Inner folds halve successively: all configurations are trained for the first, the best third of them for the
    second, the best ninth for the others. Outer folds of the network that the result file has are not run again, and
    its rows of other sizes stay.
    """
    labels = data.labels[TRAIN]
    rows = _recorded()
    outer_folds = arguments.outer if len(arguments.outer) > 1 else arguments.outer * len(arguments.sizes)
    folds = np.array_split(np.random.default_rng(0).permutation(len(labels)), 10)
    for size, outers in zip(arguments.sizes, outer_folds, strict=True):
        measured = rows.get(str(size), {})
        if measured.get("configurations") != f"{arguments.configurations} of 180":
            measured = {}
        scores, chosen = measured.get("folds", [])[:outers], measured.get("chosen", [])[:outers]
        baselines: dict[str, list[float]] = {kind: [] for kind in NESTED_BASELINES}
        for outer in range(outers):
            rest = np.concatenate([part for index, part in enumerate(folds) if index != outer])[:size]
            if outer >= len(scores):
                best = _choose(
                    data, store, rest, f"nested/{size}_{outer}", configurations()[: arguments.configurations]
                )
                found = _nested_fit(data, store, f"nested/{size}_{outer}_test", best, rest, folds[outer])
                scores.append(float(spearmanr(found, labels[folds[outer]]).statistic))
                chosen.append(best)
            for kind, values in baselines.items():
                found = _nested_baseline(data, store, f"nested/{size}_{outer}_{kind}", kind, rest, folds[outer])
                values.append(float(spearmanr(found, labels[folds[outer]]).statistic))
        rows[str(size)] = {
            **_over(scores),
            "chosen": chosen,
            "configurations": f"{arguments.configurations} of 180",
            "outer_folds": f"{outers} of 10",
            "baselines": {kind: _over(values) for kind, values in baselines.items()},
        }
    return {"rows": dict(sorted(rows.items(), key=lambda row: int(row[0])))}


def _recorded() -> dict[str, Any]:
    """The rows of the result file."""
    path = RESULTS / "deepcpf1_nested_cv.json"
    return json.loads(path.read_text(encoding="utf-8"))["result"]["rows"] if path.is_file() else {}


def _over(scores: list[float]) -> dict[str, Any]:
    return {
        "spearman": round(float(np.mean(scores)), 4),
        "sd": round(float(np.std(scores, ddof=1)), 4) if len(scores) > 1 else None,
        "folds": [round(score, 4) for score in scores],
    }


def _nested_baseline(data: Data, store: Store, key: str, kind: str, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    def make() -> Fit:
        features = store.get("nested/features", lambda: {"rows": data.features(TRAIN)})["rows"]
        return {"prediction": fit_classical(kind, features[train], data.labels[TRAIN][train], [features[test]])[0]}

    return store.get(key, make)["prediction"]


def _choose(data: Data, store: Store, rows: np.ndarray, key: str, choices: list[dict[str, int]]) -> dict[str, int]:
    inner = np.array_split(rows, 5)
    errors: list[np.ndarray] = [np.empty(0) for _ in choices]
    alive = list(range(len(choices)))
    for fold, held in enumerate(inner):
        train = np.concatenate([part for index, part in enumerate(inner) if index != fold])
        for index in alive:
            found = _nested_fit(data, store, f"{key}_{fold}", choices[index], train, held)
            errors[index] = np.append(errors[index], ((found - data.labels[TRAIN][held]) ** 2).mean())
        if fold < 2:
            alive = sorted(alive, key=lambda index: errors[index].mean())[: max(1, len(alive) // 3)]
    return choices[min(alive, key=lambda index: errors[index].mean())]


def _nested_fit(
    data: Data, store: Store, key: str, choice: dict[str, int], train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    def make() -> Fit:
        torch.manual_seed(0)
        units = choice["units"]
        config = DeepCpf1Config(
            num_filters=choice["num_filters"],
            kernel_size=choice["kernel_size"],
            hidden_sizes=[units, *[units // 2] * (choice["layers"] - 1)],
            output_scale=30,
        )
        model = DeepCpf1Model(config)
        batch = 64 if len(train) <= 4000 else 256  # few rows need small batches to take enough steps
        fit_network(model, data.codes[TRAIN][train], data.labels[TRAIN][train], seed=0, epochs=35, batch=batch)
        return {"prediction": predict(model, data.codes[TRAIN][test])}

    return store.get(f"{key}_{'-'.join(map(str, choice.values()))}", make)["prediction"]


# Page and command ----------------------------------------------------------------------------------------------------


def markdown() -> str:
    """The tables measured so far, from their result files."""
    parts = ["# Cpf1 guide activity\n\nSpearman's correlation with measured indel frequencies (Kim et al. 2018)."]
    for name, write in {"models": _models_page, "lengths": _lengths_page, "nested_cv": _nested_page}.items():
        path = RESULTS / f"deepcpf1_{name}.json"
        if path.is_file():
            found = json.loads(path.read_text(encoding="utf-8"))
            parts.append(f"{write(found['result'])}\n\n<sub>`{found['command']}`, commit {commit_of(found)}.</sub>")
    sections = {
        "best": deepcpf1_best.page, "student": deepcpf1_student.page, "few_labels": deepcpf1_few_labels.page,
    }  # fmt: skip
    for name, section in sections.items():
        if (RESULTS / f"deepcpf1_{name}.json").is_file():
            parts.append(section())
    parts.append(MISSING)
    return "\n\n".join(parts) + "\n"


def _cell(value: dict[str, Any]) -> str:
    if interval := value.get("interval_95"):
        return f"{value['spearman']:.4f} ({interval[0]:.3f} to {interval[1]:.3f})"
    return f"{value['spearman']:.4f}" + (f" ± {value['sd']:.4f}" if value["sd"] is not None else "")


def _models_page(result: dict[str, Any]) -> str:
    lines = [
        "## Models\n\nTrained on HT 1-1. ± standard deviation over seeds; (95 % bootstrap interval) where there is "
        f"one fit. Cross-validation: mean over {FOLDS} of five folds of HT 1-1. p: Steiger's test of the packaged "
        f"model against the row (its first seed), Holm's correction for all {len(result['tests'])}. "
        "Weighted: training targets count by their reads. crRNA structure: "
        "energies and pairing probabilities by ViennaRNA, which no network here reads.\n",
        "| model | cross-validation | HT 1-2 | HT 2 | p, HT 1-2 | p, HT 2 |\n|---|---|---|---|---|---|",
    ]
    p = {(test["second"], test["data"]): f"{test['p_holm']:.2g}" for test in result["tests"]}
    for kind, row in sorted(result["rows"].items(), key=lambda item: item[1]["ht_2"]["spearman"]):
        cells = [kind.replace("_", " "), row.get("cross_validation", ""), *(_cell(row[name]) for name in TESTS)]
        lines.append(f"| {' | '.join(map(str, cells))} | {' | '.join(p.get((kind, name), '') for name in TESTS)} |")
    return "\n".join(lines)


def _lengths_page(result: dict[str, Any]) -> str:
    lines = [
        "## Letters of context\n\nThe paper's network; 34 is what it reads. The last ten of the 50 letters are "
        f"the same vector sequence in every row ({result['letters_41_to_50']}), so 50 letters say no more than 40.\n",
        "| letters | HT 1-2 | HT 2 |\n|---|---|---|",
    ]
    lines += [
        f"| {length} | {_cell(row['ht_1_2'])} | {_cell(row['ht_2'])} |" for length, row in result["rows"].items()
    ]
    return "\n".join(lines)


def _absent(rows: dict[str, Any]) -> str:
    """What of the plan has not been run."""
    without = [size for size, row in rows.items() if "baselines" not in row]
    sizes = [str(size) for size in SIZES if str(size) not in rows]
    parts = [
        f"{name} {', '.join(some)} targets"
        for name, some in (("any row of", sizes), ("baselines at", without))
        if some
    ]
    return f" Not run: {'; '.join(parts)}." if parts else ""


def _nested_page(result: dict[str, Any]) -> str:
    lines = [
        "## Nested cross-validation\n\nInside HT 1-1; mean ± standard deviation over the outer folds, the same for "
        "network and baselines, which read the field's features and choose their penalties inside: l1 of 13 values "
        "from 0.01 to 10, l2 of 25 from 1e-6 to 1e6, both even in the logarithm. Configurations and penalties are "
        f"ours; those of the dissertation are in none of its sources at hand.{_absent(result['rows'])}\n",
        f"| training targets | network | {' | '.join(kind.replace('_', ' ') for kind in NESTED_BASELINES)} "
        "| configurations tried | outer folds |\n|---|---|---|---|---|---|---|",
    ]
    for size, row in result["rows"].items():
        beside = row.get("baselines", {})
        cells = [_cell(row), *(_cell(beside[kind]) if kind in beside else "" for kind in NESTED_BASELINES)]
        lines.append(f"| {size} | {' | '.join(cells)} | {row['configurations']} | {row['outer_folds']} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[Data, Store, argparse.Namespace], dict[str, Any]]] = {
    "models": models_table,
    "lengths": lengths_table,
    "nested-cv": nested_table,
}


def write_page() -> None:
    """Write `tables/deepcpf1.md`."""
    (ROOT / "benchmarks" / "tables" / "deepcpf1.md").write_text(markdown(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--work", type=Path, required=True, help="folder of finished fits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="nested-cv: training targets")
    parser.add_argument("--configurations", type=int, default=180, help="nested-cv: how many, drawn at random")
    parser.add_argument(
        "--outer", nargs="+", type=int, default=[10], help="nested-cv: outer folds to run, may differ a size"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = Data(data_folder("cpf1_activity"))
    result = TABLES[arguments.table](data, Store(arguments.work), arguments)
    name = f"deepcpf1_{arguments.table.replace('-', '_')}"
    sizes = "HT 1-1 (15,000 to train on), HT 1-2 (1,292), HT 2 (2,963)"
    write_result(name, result, data=sizes, seeds=list(range(arguments.seeds)))
    write_page()


if __name__ == "__main__":
    main()
