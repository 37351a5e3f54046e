"""The packaged TargetNet: train it, measure it beside the published weights and shortcuts, write its repository.

export SEQFORMERS_DATA=...
python -m benchmarks.tables.targetnet train --work runs/targetnet --seeds 0 1 2
python -m benchmarks.tables.targetnet evaluate --work runs/targetnet --published targetnet-published
python -m benchmarks.tables.targetnet ablate --work runs/targetnet
python -m benchmarks.tables.targetnet recipe --work runs/targetnet-clash   # a run of recipes/targetnet/clash.yaml
python -m benchmarks.tables.targetnet report package --work runs/targetnet
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from benchmarks._results import RESULTS, data_folder, write_result
from benchmarks.tables.targetnet_data import TRAINING, made_up_mrnas, rows_seen, training_rows
from benchmarks.tables.targetnet_training import ABLATIONS, DROPOUT, MADE_UP, ON_MRNAS, ON_SITES, site_scores, train
from seqformers.datasets_scripts.miraw.miraw import read_target_table
from seqformers.datasets_scripts.miraw.target_report import mirna_only_scores
from seqformers.metrics.targets import auroc_within_groups
from seqformers.targets.scan import scan_targets

TESTS = {
    "miraw_test_0_4": "miraw_test_0_4.parquet",
    "deeptargetpro_0_4": "deeptargetpro_pairs_0_4.parquet",
    "clash2013_eval": "clash2013_eval_1_1.parquet",
}
PAIR = ["mirna_seq", "mrna_seq"]


def validation_tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of miRNAs that no training row has, by source, and mRNAs made up of them."""
    held = rows[rows["validation"]]
    tables = {source: held[held["source"] == source] for source in TRAINING}
    return {"made-up mRNAs": made_up_mrnas(held, 1_000, fewest=10, most=40, seed=7), **tables}


def train_all(work: Path, seeds: list[int]) -> None:
    """Write each seed's model `m<seed>` and its validation scores; seeds that are there already are kept."""
    rows = training_rows(data_folder("mirna_target"))
    tables = validation_tables(rows)
    for seed in seeds:
        folder = work / f"m{seed}"
        if (folder / "val.json").exists():
            continue
        train(rows[~rows["validation"]].reset_index(drop=True), seed, work).save_pretrained(folder)
        calibrate(folder, tables)
        found = {name: measure(table, model_scores(folder, table)) for name, table in tables.items()}
        (folder / "val.json").write_text(json.dumps(found))


def calibrate(folder: Path, tables: dict[str, pd.DataFrame]) -> None:
    """Move the output's bias so that a threshold of 0.5 has the best mean F1 over the validation tables."""
    from seqformers import TargetNetModel

    model = TargetNetModel.from_pretrained(folder)
    logits = {name: logit(model_scores(folder, table).clip(1e-6, 1 - 1e-6)) for name, table in tables.items()}
    shift = max(
        np.linspace(-3, 3, 121),
        key=lambda step: np.mean([f1_score(table["label"], logits[name] > -step) for name, table in tables.items()]),
    )
    model.classifier.bias.data += shift
    model.save_pretrained(folder)


def model_scores(model: str | Path, rows: pd.DataFrame, cache: Path | None = None) -> np.ndarray:
    """Pair scores of a model, kept in `cache`."""
    if cache is not None and cache.exists():
        return np.load(cache)
    pairs = rows[PAIR].drop_duplicates()
    mirnas, mrnas = ({x: x for x in pairs[column].unique()} for column in PAIR)
    named = pairs.itertuples(index=False)
    table = scan_targets(mirnas, mrnas, named, str(model), windows=True, on_error="skip")  # as the original scores
    scores = pairs.assign(score=table["score"].to_numpy()).merge(rows[PAIR], how="right", on=PAIR)["score"].to_numpy()
    if cache is not None:
        np.save(cache, scores)
    return scores


def seed_sites(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Whether each target holds a canonical site of its miRNA (Bartel 2009), by kind: `(rows,)` bool."""
    turned = rows["mirna_seq"].str[:8].str.translate(str.maketrans("ACGU", "UGCA")).str[::-1]
    patterns = {
        "6mer": turned.str[1:7],
        "7mer-A1": turned.str[1:7] + "A",
        "7mer-m8": turned.str[:7],
        "8mer": turned.str[:7] + "A",
    }
    return {
        name: np.fromiter((p in m for p, m in zip(column, rows["mrna_seq"], strict=True)), bool, len(rows))
        for name, column in patterns.items()
    }


def measure(rows: pd.DataFrame, scores: np.ndarray) -> dict[str, float]:
    """Metrics over folds (mean of F1, accuracy, precision, recall, specificity at 0.5) and AUROC, pooled.

    `auroc_within_mirna` counts each pair once and compares mRNAs of the same miRNA only.
    """
    truth, called = rows["label"].to_numpy(), scores > 0.5
    functions: dict[str, Callable] = {
        "f1": lambda y, c: f1_score(y, c, zero_division=0),
        "accuracy": lambda y, c: (y == c).mean(),
        "precision": lambda y, c: precision_score(y, c, zero_division=0),
        "recall": recall_score,
        "specificity": lambda y, c: recall_score(1 - y, ~c),
    }
    folds = rows["fold"].to_numpy() if "fold" in rows else np.zeros(len(rows), int)
    parts = [folds == fold for fold in np.unique(folds)]
    means = {name: float(np.mean([f(truth[p], called[p]) for p in parts])) for name, f in functions.items()}
    once = ~rows.duplicated(PAIR).to_numpy()
    means["auroc"] = float(roc_auc_score(truth, scores))
    means["auroc_within_mirna"] = auroc_within_groups(scores[once], truth[once], rows.loc[once, "mirna_seq"])
    return {name: round(value, 4) for name, value in means.items()}


def shortcuts(training: pd.DataFrame, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Scores of what reads no pairing, or the seed only; fitted on the same training rows as the model."""
    sites = seed_sites(rows)
    features = np.stack([*sites.values()], axis=1).astype(float)
    fit = np.stack([*seed_sites(training).values()], axis=1).astype(float)
    logistic = LogisticRegression().fit(fit, training["label"])
    short = {"mirna_seq": lambda table: table["mirna_seq"].str[:20]}
    return {
        **{f"seed rule: {name}": found.astype(float) for name, found in sites.items()},
        "seed match, logistic regression": logistic.predict_proba(features)[:, 1],
        "miRNA only": mirna_only_scores(training.assign(**short), rows.assign(**short)),
        "always a target": np.ones(len(rows)),
    }


def mirna_only_of_the_test(rows: pd.DataFrame) -> np.ndarray:
    """What knowing the miRNA is worth to who trained on half of the test's own pairs: `(rows,)`, each half in turn."""
    pairs = rows.drop_duplicates(PAIR)[[*PAIR, "label"]].reset_index(drop=True)
    half = np.random.default_rng(0).integers(0, 2, len(pairs))
    scores = np.empty(len(pairs))
    for part in (0, 1):
        scores[half == part] = mirna_only_scores(pairs[half != part], pairs[half == part])
    return pairs.assign(score=scores).merge(rows[PAIR], how="right", on=PAIR)["score"].to_numpy()


def validation_of(work: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Validation scores of every seed trained."""
    found = sorted(work.glob("m*/val.json"))
    return {path.parent.name[1:]: json.loads(path.read_text()) for path in found}


def chosen_seed(work: Path) -> str:
    """The seed that best ranks made-up mRNAs of held-out miRNAs."""
    found = validation_of(work)
    return max(found, key=lambda seed: found[seed]["made-up mRNAs"]["auroc_within_mirna"])


def evaluate(work: Path, published: str) -> None:
    """Write `results/targetnet.json`."""
    folder = data_folder("mirna_target")
    training = training_rows(folder)
    fitted, best, validation = training[~training["validation"]], chosen_seed(work), validation_of(work)
    result: dict[str, Any] = {"packaged_seed": int(best), "validation": validation, "tests": {}}
    for name, file in TESTS.items():
        rows = read_target_table(folder / file)
        models = {"packaged": work / f"m{best}"}
        models |= {f"trained alike, seed {seed}": work / f"m{seed}" for seed in validation if seed != best}
        models["published"] = Path(published)
        scores = {
            label: model_scores(path, rows, work / f"scores-{path.name}-{name}.npy") for label, path in models.items()
        }
        scores |= shortcuts(fitted, rows) | {"miRNA only, of half the test": mirna_only_of_the_test(rows)}
        heads = rows["mirna_seq"].str[:20]
        result["tests"][name] = {
            "rows": len(rows),
            "folds": sorted(rows["fold"].unique().tolist()) if "fold" in rows else None,
            "targets": int(rows["label"].sum()),
            "rows_of_a_mirna_in_training": int(heads.isin(set(fitted["mirna_seq"].str[:20])).sum()),
            **rows_seen(fitted, rows),
            "models": {label: measure(rows, values) for label, values in scores.items()},
        }
    write_result("targetnet", result, data="mirna_target", seeds=[int(seed) for seed in validation])


def ablate(work: Path, seeds: list[int]) -> None:
    """Write `results/targetnet_ablations.json`: what each part is worth on sites of held-out miRNAs."""
    rows = training_rows(data_folder("mirna_target"))
    held = rows[rows["validation"]]
    tables = {
        "held-out miRNAs": held,
        "clash2013_eval": read_target_table(data_folder("mirna_target") / TESTS["clash2013_eval"]),
    }
    result: dict[str, Any] = {}
    for name in [*ABLATIONS, "GRUs like deepTarget"]:
        found: dict[str, Any] = {key: [] for key in tables}
        for seed in seeds:
            scores = site_scores(name, rows[~rows["validation"]].reset_index(drop=True), tables, seed, work)
            for key, table in tables.items():
                found[key].append(measure(table, scores[key]))
        result[name] = {
            key: pd.DataFrame(values).agg(["mean", "std"]).round(4).to_dict() for key, values in found.items()
        }
        print(name, result[name]["held-out miRNAs"], flush=True)
    write_result("targetnet_ablations", result, data="mirna_target", seeds=seeds)


def measure_run(run: Path) -> None:
    """Write `results/targetnet_recipe*.json`: a run of `recipes/targetnet/clash.yaml` beside its shortcuts."""
    import seqformers

    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    data = recipe["data"]
    tables = {
        split: rows.to_pandas()
        for split, rows in seqformers.load_dataset(
            data["dataset"], name=data["config"], data_dir=data["data_dir"], **data["options"]
        ).items()
    }
    train, test = tables["train"], tables["test"]
    found = []
    for seed in recipe["seeds"]:
        predicted = pd.read_parquet(run / "seeds" / str(seed) / "predictions-test.parquet")
        assert (predicted["label"].to_numpy() == test["label"].to_numpy()).all()
        found.append(measure(test, predicted["score_target"].to_numpy()))
    models = {"TargetNet": pd.DataFrame(found).agg(["mean", "std"]).round(4).to_dict()}
    others = shortcuts(train, test) | {"miRNA only, of half the test": mirna_only_of_the_test(test)}
    result = {
        "epochs": recipe["training"]["num_train_epochs"],
        "rows": {split: len(rows) for split, rows in tables.items()},
        "mirnas": {split: int(rows["mirna_seq"].nunique()) for split, rows in tables.items()},
        "models": models | {name: measure(test, scores) for name, scores in others.items()},
    }
    name = "targetnet_recipe_matched" if data["options"].get("mirna_match") else "targetnet_recipe"
    write_result(name, result, data="mirna_target", seeds=recipe["seeds"])


def report() -> None:
    """Write `targetnet.md` beside this file from what was measured."""
    found = json.loads((RESULTS / "targetnet.json").read_text())
    metrics = ["f1", "auroc", "auroc_within_mirna", "accuracy", "precision", "recall", "specificity"]
    lines = ["# miRNA targets", "", "Written by `python -m benchmarks.tables.targetnet report`.", ""]
    for name, test in found["result"]["tests"].items():
        lines += [f"## {name}: {test['rows']:,} pairs, {test['targets']:,} of them targets", ""]
        lines += [_table(metrics, {key: [_shown(row[m]) for m in metrics] for key, row in test["models"].items()}), ""]
    lines += _intervals()
    lines += ["## Held-out miRNAs (validation), by seed", ""]
    seeds = found["result"]["validation"]
    rows = {f"{name}, seed {seed}": [_shown(v[name][m]) for m in metrics] for seed, v in seeds.items() for name in v}
    lines += [_table(metrics, rows), ""]
    lines += _ablations(metrics) + _run_of_the_recipe("", metrics) + _run_of_the_recipe("_matched", metrics)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines))


def _intervals() -> list[str]:
    found = json.loads((RESULTS / "targetnet_intervals.json").read_text())["result"]
    lines = ["## AUROC within miRNAs, with intervals", ""]
    lines += [f"95 % intervals over miRNAs drawn with replacement, {found['resamples']:,} times.", ""]
    tests = found["tests"]
    rows: dict[str, list[str]] = {}
    for test in tests.values():
        for name, value in test["auroc_within_mirna"].items():
            rows.setdefault(name, []).append(_with_interval(value))
        for name, value in test["packaged minus"].items():
            rows.setdefault(f"packaged minus {name}", []).append(_with_interval(value))
        for name in ("a target", "a non-target"):
            key = f"rows with {name} of the same miRNA in training"
            rows.setdefault(key, []).append(f"{test[key]:,} of {test['rows']:,}")
    return [*lines, _table([f"{name}, {test['mirnas']} miRNAs" for name, test in tests.items()], rows), ""]


def _with_interval(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"


def _ablations(metrics: list[str]) -> list[str]:
    parts = json.loads((RESULTS / "targetnet_ablations.json").read_text())
    lines = ["## Parts left out, trained on sites only", ""]
    lines += [f"Mean and standard deviation over seeds {parts['seeds']}, one window a site, no made-up mRNAs.", ""]
    for name in ("held-out miRNAs", "clash2013_eval"):
        shown = {key: [_shown(v[name][m]) for m in metrics] for key, v in parts["result"].items()}
        lines += [f"### {name}", "", _table(metrics, shown), ""]
    return lines


def _run_of_the_recipe(kind: str, metrics: list[str]) -> list[str]:
    found = json.loads((RESULTS / f"targetnet_recipe{kind}.json").read_text())
    result, rows, mirnas = found["result"], found["result"]["rows"], found["result"]["mirnas"]
    option = ", data.options.mirna_match=true" if kind else ""
    return [
        f"## `recipes/targetnet/clash.yaml`{option}, test split of other miRNAs",
        "",
        f"{result['epochs']} epochs on {rows['train']:,} pairs of {mirnas['train']} miRNAs, measured on "
        f"{rows['test']:,} of {mirnas['test']} others; mean and standard deviation over seeds {found['seeds']}.",
        "",
        _table(metrics, {name: [_shown(values[m]) for m in metrics] for name, values in result["models"].items()}),
        "",
    ]


def _shown(value: float | dict[str, float]) -> str:
    return f"{value['mean']:.3f} ± {value['std']:.3f}" if isinstance(value, dict) else f"{value:.3f}"


def _table(columns: list[str], rows: dict[str, list[str]]) -> str:
    head = ["", *(name.replace("_", " ") for name in columns)]
    body = [[name, *values] for name, values in rows.items()]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *body])


def package(work: Path, output: Path) -> None:
    """Write the chosen seed as the repository that comes with the package; facts of its card from the results."""
    from seqformers import TargetNetModel, TargetNetProcessor
    from seqformers.hub.repository import write_model_repository

    model = TargetNetModel.from_pretrained(work / f"m{chosen_seed(work)}")
    write_model_repository(output, model.eval(), processor=TargetNetProcessor(), card=render_card())
    for path in output.glob("*.py"):
        path.unlink()  # the package holds this code already; a push writes it again


def render_card() -> str:
    """The card of the packaged model, its facts from the results."""
    from seqformers.hub.cards import render_model_card

    results = json.loads((RESULTS / "targetnet.json").read_text())
    beside = json.loads((RESULTS / "targetnet_intervals.json").read_text())["result"]["tests"]
    result, tests = results["result"], results["result"]["tests"]
    speed = json.loads((RESULTS / "speed_scan_targets.json").read_text())["result"]
    names = {"f1": "f1_positive", "auroc": "auroc", "auroc_within_mirna": "auroc_within_mirna", "accuracy": "accuracy"}

    def shown(values: dict[str, float]) -> dict[str, float]:
        return {names[key]: value for key, value in values.items() if key in names}

    models = tests["clash2013_eval"]["models"]
    return render_model_card(
        "targetnet",
        {
            "name": "TargetNet, packaged with seqformers",
            "license": "apache-2.0",
            "input": "processor",
            "example": '"UGAGGUAGUAGGUUGUAUAGUU", "A" * 25 + "CUACCUCA" + "G" * 10',
            "tags": ["rna", "mirna"],
            "parameters": 8737,
            "data": [
                {"name": "CLASH 2013", "citation": "Helwak et al. 2013, Cell; Klimentova et al. 2022, Genes"},
                {"name": "Hejret 2023", "citation": "Hejret et al. 2023, Sci Rep"},
                {"name": "validation sites of miRAW and deepTargetPro",
                 "citation": "Min et al. 2022, Bioinformatics; Lee et al. 2016"},
            ],
            "hyperparameters": {"dropout": DROPOUT, "first, one window a site": _written(ON_SITES),
                "then, whole mRNAs": _written(ON_MRNAS | {"pairs": MADE_UP})},
            "command": "python -m benchmarks.tables.targetnet train",
            "task_type": "text-classification",
            "metrics": {name: shown(found["models"]["packaged"]) for name, found in tests.items()},
            "tested_on": {
                "miraw_test_0_4": "miRAW, tests 0 to 4",
                "deeptargetpro_0_4": "deepTargetPro, splits 0 to 4",
                "clash2013_eval": "CLASH 2013, evaluation set",
            },
            "seeds": results["seeds"],
            "published_seed": f"seed {result['packaged_seed']}, best AUROC on held-out miRNAs; scores are its own",
            "baselines": {label: shown(values) for label, values in models.items() if label != "packaged"},
            "baseline_split": "clash2013_eval",
            "leakage": {
                f"{name}, {found['rows']:,} rows: {what}": count
                for name, found in tests.items()
                for what, count in {
                    "of a miRNA that is in training": found["rows_of_a_mirna_in_training"],
                    **{key: value for key, value in beside[name].items() if key.startswith("rows with")},
                }.items()
            },
            "speed": {"windows_per_second_one_thread": speed["windows_per_second_one_thread"]},
            "notes": _notes(tests, beside),
            "versions": results["versions"],
        },
    )  # fmt: skip


def _written(options: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items())


def _notes(tests: dict[str, Any], beside: dict[str, Any]) -> list[str]:
    half = tests["miraw_test_0_4"]["models"]["miRNA only, of half the test"]["auroc"]
    notes = [
        "All folds of the miRAW tests share their 548 non-targets, those of deepTargetPro their 418, of which 417 are "
        "miRAW's.",
        "The published weights learned from the other half of miRAW's pairs. A table of miRNAs alone, made from half "
        f"of the test's own pairs, has AUROC {half:.3f} on the other half: plain AUROC and F1 on these two sets "
        "measure which miRNAs were studied. AUROC within miRNAs does not.",
    ]
    for name, found in tests.items():
        ours, theirs = found["models"]["packaged"], found["models"]["published"]
        for metric, words in (("auroc", "AUROC"), ("f1", "F1")):
            side = "above" if ours[metric] > theirs[metric] else "below"
            notes.append(f"{name}: {words} {ours[metric]:.3f}, {side} the published weights' {theirs[metric]:.3f}.")
        within, minus = beside[name]["auroc_within_mirna"], beside[name]["packaged minus"]
        others = "; ".join(
            f"minus {other} {difference['value']:+.3f} [{difference['interval'][0]:+.3f}, "
            f"{difference['interval'][1]:+.3f}]"
            for other, difference in minus.items()
        )
        notes.append(
            f"{name}: AUROC within miRNAs {within['packaged']['value']:.3f}; {others} (95 % intervals over "
            f"{beside[name]['mirnas']} miRNAs drawn with replacement)."
        )
    return notes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("actions", nargs="+", choices=["train", "evaluate", "ablate", "recipe", "report", "package"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--published", help="folder of the converted published weights")
    default = Path(__file__).resolve().parent.parent.parent / "modeling" / "targets" / "pretrained" / "targetnet"
    parser.add_argument("--output", type=Path, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if "train" in given.actions:
        train_all(given.work, given.seeds)
    if "evaluate" in given.actions:
        if not given.published:
            parser.error("evaluate needs --published, what `seqformers convert targetnet` wrote")
        evaluate(given.work, given.published)
    if "ablate" in given.actions:
        ablate(given.work, given.seeds)
    if "recipe" in given.actions:
        measure_run(given.work)
    if "report" in given.actions:
        report()
    if "package" in given.actions:
        package(given.work, given.output)


if __name__ == "__main__":
    main()
