"""The packaged pair CNN: train it, measure it beside published weights and shortcuts, write its repository.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.pair_cnn train --work runs/pair_cnn --seeds 0 1 2
python -m benchmarks.tables.pair_cnn evaluate --work runs/pair_cnn --mirbind2 mirbind2 --targetnet targetnet-published
python -m benchmarks.tables.pair_cnn report package --work runs/pair_cnn
python -m benchmarks.tables.pair_cnn recipe --work runs/pair_cnn-clash   # a run of recipes/pair_cnn/clash.yaml

Rows with the energy of the duplex need ViennaRNA (`pip install viennarna`); without it they are left out.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks._results import RESULTS, data_folder, write_result
from benchmarks.tables.pair_cnn_data import TESTS, read_pairs, validation_pairs
from benchmarks.tables.pair_cnn_training import MODEL, TRAINING, join, model_logits, train
from seqformers.datasets_scripts.miraw.target_report import mirna_only_scores
from seqformers.metrics.targets import auroc_within_groups

METRICS = ("auroc_within_mirna", "average_precision", "auroc")
PACKAGED = "packaged: the seeds together"


def measure(rows: pd.DataFrame, scores: np.ndarray) -> dict[str, float]:
    """AUROC within miRNAs first, then average precision and AUROC over all pairs."""
    return {
        "auroc_within_mirna": round(auroc_within_groups(scores, rows["label"], rows["mirna_seq"]), 4),
        "average_precision": round(float(average_precision_score(rows["label"], scores)), 4),
        "auroc": round(float(roc_auc_score(rows["label"], scores)), 4),
    }


def intervals(rows: pd.DataFrame, scores: np.ndarray, draws: int = 1_000) -> dict[str, list[float]]:
    """95 % of a bootstrap over miRNAs: whole miRNAs are drawn with replacement."""
    numbers, names = pd.factorize(rows["mirna_seq"])
    labels = rows["label"].to_numpy(float)
    compared, right = np.zeros(len(names)), np.zeros(len(names))
    for number, group in pd.Series(range(len(rows))).groupby(numbers):
        positives, ranks = labels[group].sum(), rankdata(scores[group])
        compared[number] = positives * (len(group) - positives)
        right[number] = ranks[labels[group] == 1].sum() - positives * (positives + 1) / 2 if compared[number] else 0.0
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # last row of each score
    generator = np.random.default_rng(0)
    found: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for _ in range(draws):
        times = np.bincount(generator.integers(0, len(names), len(names)), minlength=len(names))
        found["auroc_within_mirna"].append((times * right).sum() / (times * compared).sum())
        weights = times[numbers[order]]
        precision, auroc = _weighted(weights * labels[order], weights * (1 - labels[order]), ends)
        found["average_precision"].append(precision)
        found["auroc"].append(auroc)
    return {metric: np.quantile(values, [0.025, 0.975]).round(4).tolist() for metric, values in found.items()}


def _weighted(positives: np.ndarray, negatives: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
    """Average precision and AUROC of rows that count several times, from the highest score down."""
    hits, misses = positives.cumsum()[ends], negatives.cumsum()[ends]
    gained = np.diff(hits, prepend=0.0)
    precision = (gained * hits / np.maximum(hits + misses, 1)).sum() / hits[-1]
    missed = np.diff(misses, prepend=0.0)
    return float(precision), float((missed * (hits - gained / 2)).sum() / (hits[-1] * misses[-1]))


def by_source(rows: pd.DataFrame, scores: np.ndarray) -> dict[str, dict[str, float]]:
    """`measure` of each source, and their plain mean."""
    found = {}
    for source in sorted(rows["source"].unique()):
        here = (rows["source"] == source).to_numpy()
        found[source] = measure(rows[here], scores[here])
    return found | {"mean": pd.DataFrame(found).mean(axis=1).round(4).to_dict()}


def train_all(work: Path, seeds: list[int]) -> None:
    """Write each seed's model `m<seed>` and its validation figures; seeds that are there already are kept."""
    pairs = read_pairs(data_folder("mirna_target"))
    held = validation_pairs(pairs)
    positives = pairs[(pairs["split"] == "train") & (pairs["label"] == 1)].reset_index(drop=True)
    for seed in seeds:
        folder = work / f"m{seed}"
        if (folder / "valid.json").exists():
            continue
        started = time.process_time()
        model = train(positives, seed, work)
        seconds = time.process_time() - started
        model.save_pretrained(folder)
        scores = model_logits(model, *_texts(held))
        np.save(folder / "valid.npy", scores)
        found = {"cpu_seconds": round(seconds), "valid": by_source(held, scores)}
        (folder / "valid.json").write_text(json.dumps(found))
        print(seed, found, flush=True)


def trained(work: Path) -> dict[int, Any]:
    """Models of the seeds that are there."""
    from seqformers import PairCnnModel

    folders = sorted(path.parent for path in work.glob("m*/valid.json"))
    return {int(folder.name[1:]): PairCnnModel.from_pretrained(folder).eval() for folder in folders}


def duplex_energies(rows: pd.DataFrame) -> np.ndarray | None:
    """Energy of the best duplex of each pair in kcal/mol `(n,)` (RNAduplex), or None without ViennaRNA."""
    try:
        import RNA
    except ImportError:
        warnings.warn("ViennaRNA is not installed: rows with duplex energies are left out", stacklevel=2)
        return None
    pairs = zip(rows["mirna_seq"], rows["target_seq"].str.strip("N"), strict=True)
    return np.array([RNA.duplexfold(mirna, target).energy for mirna, target in pairs])


def seed_class(rows: pd.DataFrame) -> np.ndarray:
    """Best canonical site in each target: 0 none, 1 6mer, 2 7mer-A1, 3 7mer-m8, 4 8mer (Bartel 2009)."""
    turned = rows["mirna_seq"].str[:8].str.translate(str.maketrans("ACGT", "TGCA")).str[::-1]
    columns = [turned.str[1:7], turned.str[1:7] + "A", turned.str[:7], turned.str[:7] + "A"]
    found = np.zeros(len(rows))
    for value, column in enumerate(columns, 1):
        found[[seed in target for seed, target in zip(column, rows["target_seq"], strict=True)]] = value
    return found


def targetnet_scores(model: Any, rows: pd.DataFrame) -> np.ndarray:
    """Score of each pair by its best site, of all windows."""
    from seqformers import TargetNetModel, TargetNetProcessor

    network, processor = TargetNetModel.from_pretrained(model).eval(), TargetNetProcessor()
    found = []
    for start in range(0, len(rows), 500):
        part = rows.iloc[start : start + 500]
        with torch.no_grad():
            found.append(network(**processor(list(part["mirna_seq"]), list(part["target_seq"]))).logits.numpy())
    return np.concatenate(found)


def evaluate(work: Path, mirbind2: Path | None, targetnet: Path | None) -> None:
    """Write `results/pair_cnn.json`."""
    from seqformers import PairCnnModel
    from seqformers.hub.load import packaged_model

    folder, models = data_folder("mirna_target"), trained(work)
    pairs = read_pairs(folder)
    held, fitted = validation_pairs(pairs), pairs[(pairs["split"] == "train") & (pairs["label"] == 1)]
    joined = join(list(models.values()))
    held_scores = model_logits(joined, *_texts(held))
    held_energies = duplex_energies(held)
    valid = {f"seed {seed}": json.loads((work / f"m{seed}" / "valid.json").read_text())["valid"] for seed in models}
    valid[PACKAGED] = by_source(held, held_scores)
    if held_energies is not None:
        valid["duplex energy (RNAduplex)"] = by_source(held, -held_energies)
    valid["seed class"] = by_source(held, seed_class(held))
    other = None if mirbind2 is None else PairCnnModel.from_pretrained(mirbind2).eval()
    if other is not None:
        valid["miRBind2, published"] = by_source(held, model_logits(other, *_texts(held)))
    seconds = {seed: json.loads((work / f"m{seed}" / "valid.json").read_text())["cpu_seconds"] for seed in models}
    result: dict[str, Any] = {"cpu_seconds": seconds, "training_positives": len(fitted), "valid": valid, "tests": {}}
    known = pd.read_parquet(folder / "clash2013_train_1_1.parquet")
    for name, file in TESTS.items():
        rows = pd.read_parquet(folder / file)
        texts = _texts(rows)
        scores = {PACKAGED: model_logits(joined, *texts)}
        scores |= {f"seed {seed}": model_logits(model, *texts) for seed, model in models.items()}
        energies = duplex_energies(rows)
        if energies is not None and held_energies is not None:
            fit = LogisticRegression().fit(np.stack([held_scores, held_energies / 10], 1), held["label"])
            beside = fit.decision_function(np.stack([scores[PACKAGED], energies / 10], 1))
            scores["packaged, duplex energy beside"] = beside
            scores["duplex energy (RNAduplex)"] = -energies
            ranks = rankdata(-energies) + rankdata(seed_class(rows))
            scores["duplex energy and seed class, mean rank"] = ranks
        if other is not None:
            scores["miRBind2, published"] = model_logits(other, *texts)
        if targetnet is not None:
            scores["TargetNet, published"] = targetnet_scores(targetnet, rows)
        scores["TargetNet, packaged"] = targetnet_scores(packaged_model("targetnet"), rows)
        scores["seed class"] = seed_class(rows)
        short = known.assign(mirna_seq=known["mirna_seq"].str[:20])
        scores["miRNA only"] = mirna_only_scores(short, rows.assign(mirna_seq=rows["mirna_seq"].str[:20]))
        result["tests"][name] = {
            "rows": len(rows),
            "mirnas": int(rows["mirna_seq"].nunique()),
            "mirnas_in_training": int(rows["mirna_seq"].str[:20].isin(set(fitted["mirna_seq"].str[:20])).sum()),
            "targets_in_training": int(rows["target_seq"].isin(set(fitted["target_seq"])).sum()),
            "models": {
                label: measure(rows, values) | {"interval": intervals(rows, values)}
                for label, values in scores.items()
            },
        }
        print(name, json.dumps(result["tests"][name]["models"], indent=1), flush=True)
    write_result("pair_cnn", result, data="mirna_target", seeds=list(models))


def _texts(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    return list(rows["mirna_seq"]), list(rows["target_seq"])


def measure_run(run: Path) -> None:
    """Write `results/pair_cnn_recipe.json`: a run of `recipes/pair_cnn/clash.yaml`, test split of other miRNAs."""
    import seqformers

    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    data = recipe["data"]
    folder = str(data_folder("mirna_target"))
    splits = seqformers.load_dataset(data["dataset"], name=data["config"], data_dir=folder, **data["options"])
    test = splits["test"].to_pandas()
    found = []
    for seed in recipe["seeds"]:
        predicted = pd.read_parquet(run / "seeds" / str(seed) / "predictions-test.parquet")
        assert (predicted["label"].to_numpy() == test["label"].to_numpy()).all()
        found.append(measure(test, predicted["score_target"].to_numpy()))
    result = {
        "rows": {split: len(rows) for split, rows in splits.items()},
        "pair_cnn": pd.DataFrame(found).agg(["mean", "std"]).round(4).to_dict(),
        "by_seed": found,
    }
    write_result("pair_cnn_recipe", result, data="clash2013_train_1_1", seeds=recipe["seeds"])
    print(json.dumps(result), flush=True)


def report() -> None:
    """Write `pair_cnn.md` beside this file from what was measured."""
    result = json.loads((RESULTS / "pair_cnn.json").read_text())["result"]
    lines = ["# miRNA target sites from the pairing matrix", ""]
    lines += [
        "Written by `python -m benchmarks.tables.pair_cnn report`. In brackets 95 % of a bootstrap over miRNAs.",
        "",
    ]
    for name, test in result["tests"].items():
        lines += [f"## {name}: {test['rows']:,} pairs of {test['mirnas']:,} miRNAs", ""]
        seen = test["targets_in_training"]
        lines += [
            f"{test['mirnas_in_training']:,} rows have a miRNA that is also in training, {seen:,} such a target."
        ]
        lines += ["This is no test of the networks trained here.", ""] if seen else [""]
        cells = {
            label: [f"{row[m]:.3f} ({row['interval'][m][0]:.3f}-{row['interval'][m][1]:.3f})" for m in METRICS]
            for label, row in test["models"].items()
        }
        lines += [_table([metric.replace("_", " ") for metric in METRICS], cells), ""]
    lines += ["## Held-out target clusters, four non-targets a target (qCLASH: one)", ""]
    sources = list(next(iter(result["valid"].values())))
    cells = {
        label: [f"{row[s]['auroc_within_mirna']:.3f} / {row[s]['average_precision']:.3f}" for s in sources]
        for label, row in result["valid"].items()
    }
    lines += [
        "AUROC within miRNAs / average precision. miRBind2 was trained on the set that Manakov 2022 is a sample of,"
    ]
    lines += ["so its column there is no test.", "", _table(sources, cells), ""]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines))


def _table(columns: list[str], rows: dict[str, list[str]]) -> str:
    body = [[name, *values] for name, values in rows.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in [["", *columns], ["---"] * (len(columns) + 1), *body])


def package(work: Path, output: Path) -> None:
    """Write the seeds together as the repository that comes with the package; facts of its card from the results."""
    from seqformers import PairCnnProcessor
    from seqformers.hub.repository import write_model_repository

    model = join(list(trained(work).values()))
    write_model_repository(output, model, processor=PairCnnProcessor(), card=_card(model))
    for path in output.glob("*.py"):
        path.unlink()  # the package holds this code already; a push writes it again


def speeds() -> dict[str, Any]:
    """What the card says of speed, from `benchmarks.speed.scan_pair_cnn`."""
    found = json.loads((RESULTS / "speed_scan_pair_cnn.json").read_text())["result"]
    scans = {
        f"windows_per_second_{name}_scan_one_core": value
        for name, value in found["windows_per_second_one_core"].items()
    }
    return scans | found.get("network_one_core", {})


def _card(model: Any) -> str:
    from seqformers.hub.cards import render_model_card

    results = json.loads((RESULTS / "pair_cnn.json").read_text())
    result = results["result"]
    tests = {name: test for name, test in result["tests"].items() if name == "clash2013_eval"}

    def shown(values: dict[str, Any]) -> dict[str, float]:
        return {name: values[name] for name in METRICS}

    models = tests["clash2013_eval"]["models"]
    low, high = models[PACKAGED]["interval"]["auroc_within_mirna"]
    return render_model_card(
        "pair_cnn",
        {
            "name": "Pair CNN, packaged with seqformers",
            "license": "apache-2.0",
            "input": "processor",
            "example": '"UGAGGUAGUAGGUUGUAUAGUU", "CGCAUUUUCCCUGCCUACCUCACAGAGCUGUUCUGAGGGUGCAUGGAGGA"',
            "tags": ["rna", "mirna"],
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "data": [
                {"name": "qCLASH, endothelial cells", "citation": "Gay et al. 2018, J Virol; GSE101978",
                 "licence": "GPL-3.0 or later (reads as in hybkit)"},
                {"name": "CLASH 2013", "citation": "Helwak et al. 2013, Cell; Klimentova et al. 2022, Genes"},
                {"name": "CLASH 2023", "citation": "Hejret et al. 2023, Sci Rep",
                 "licence": "Apache-2.0 (HybriDetector); not stated for the corrected set"},
                {"name": "chimeric eCLIP, a sample", "citation": "Manakov et al. 2022; Sammut et al. 2025 (miRBench)"},
            ],
            "hyperparameters": {name.replace("_", " "): value for name, value in (TRAINING | MODEL).items()},
            "command": "python -m benchmarks.tables.pair_cnn train",
            "task_type": "text-classification",
            "metrics": {name: shown(found["models"][PACKAGED]) for name, found in tests.items()},
            "tested_on": {"clash2013_eval": "CLASH 2013, evaluation set"},
            "seeds": results["seeds"],
            "published_seed": "all of them, their logits averaged; scores are those of all together",
            "baselines": {label: shown(values) for label, values in models.items() if label != PACKAGED},
            "baseline_split": "clash2013_eval",
            "leakage": {f"{name}: rows whose {what} is in training": found[f"{what}s_in_training"]
                for name, found in tests.items() for what in ("target", "mirna")},
            "speed": speeds(),
            "notes": [
                f"AUROC within miRNAs on clash2013_eval: 95 % of a bootstrap over miRNAs {low:.3f} to {high:.3f}.",
                "Shapes and rates were chosen on held-out target clusters, not on clash2013_eval.",
            ],
            "versions": results["versions"],
        },
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actions", nargs="+", choices=["train", "evaluate", "report", "package", "recipe", "card"])
    parser.add_argument("--work", type=Path, default=Path("runs/pair_cnn"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mirbind2", type=Path, help="folder that `seqformers convert mirbind2` wrote")
    parser.add_argument("--targetnet", type=Path, help="folder that `seqformers convert targetnet` wrote")
    default = Path(__file__).resolve().parent.parent.parent / "modeling" / "targets" / "pretrained" / "pair_cnn"
    parser.add_argument("--output", type=Path, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if "train" in given.actions:
        train_all(given.work, given.seeds)
    if "evaluate" in given.actions:
        evaluate(given.work, given.mirbind2, given.targetnet)
    if "recipe" in given.actions:
        measure_run(given.work)
    if "report" in given.actions:
        report()
    if "package" in given.actions:
        package(given.work, given.output)
    if "card" in given.actions:  # alone, where only figures are new
        from seqformers import PairCnnModel

        card = _card(PairCnnModel.from_pretrained(given.output))
        (given.output / "README.md").write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
