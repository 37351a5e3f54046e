"""Tables of Cpf1 guide activity: models and baselines, input lengths, nested cross-validation.

    python -m benchmarks.tables.deepcpf1 models --data cpf1_activity --work runs/tables-deepcpf1
    python -m benchmarks.tables.deepcpf1 lengths --data cpf1_activity --work runs/tables-deepcpf1
    python -m benchmarks.tables.deepcpf1 nested-cv --data cpf1_activity --work runs/tables-deepcpf1 --sizes 1000

Each fit is stored under `--work` when it is done; the same command after a kill goes on with the next. Networks are
trained through their own loss by a plain loop (thousands of small fits); the recipes in `benchmarks/recipes/deepcpf1`
train the same networks with Trainer.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import norm, rankdata, spearmanr
from seqformers.datasets_scripts.cpf1.cpf1 import read_weight

from benchmarks.tables.deepcpf1_features import letter_features, thermodynamic_features
from seqformers import DeepCpf1Config, DeepCpf1Model, DeepCpf1Processor

TESTS = ("ht_1_2", "ht_2")
VALIDATION = 1500
# The 180 configurations: the axes are the paper's (filters, their length, dense layers, units), their values are ours.
SPACE = {
    "num_filters": (20, 40, 60, 80, 100),
    "kernel_size": (3, 5, 7, 9),
    "layers": (1, 2, 3),
    "units": (40, 80, 120),
}
Fit = dict[str, np.ndarray]


class Data:
    """HT 1-1 to train on, HT 1-2 and HT 2 to test on; codes, labels in percent, weights by reads."""

    def __init__(self, folder: Path):
        self.tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("ht_1_1", *TESTS)}
        self.codes = {name: self.encode(list(rows.target_34)) for name, rows in self.tables.items()}
        self.labels = {name: rows.indel_freq_pct.to_numpy(np.float32) for name, rows in self.tables.items()}
        self.weight = read_weight(self.tables["ht_1_1"].total_reads_cpf1.to_numpy(np.float64), 400.0)
        order = np.random.default_rng(0).permutation(len(self.labels["ht_1_1"]))
        self.validation, self.train = order[:VALIDATION], order[VALIDATION:]

    @staticmethod
    def encode(sequences: list[str]) -> np.ndarray:
        """Codes of contexts of one length."""
        return DeepCpf1Processor(context_length=len(sequences[0])).encode(sequences)

    def letters(self, name: str, length: int) -> np.ndarray:
        """Contexts of another length, cut from or grown around the 34 letters within the 50 known ones.

        The protospacer side is kept longest: 20 letters are the PAM and the 16 after it; 34 the usual context.
        """
        start, stop = {20: (10, 30), 24: (10, 34), 27: (10, 37), 30: (8, 38), 34: (6, 40), 40: (0, 40), 50: (0, 50)}[
            length
        ]
        return self.encode(list(self.tables[name].context_50.str[start:stop]))


def fit_network(
    model: torch.nn.Module,
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
    held: tuple[np.ndarray, np.ndarray],
    predict: dict[str, np.ndarray],
    *,
    seed: int,
    epochs: int,
    batch: int = 256,
    learning_rate: float = 1e-3,
    decay: float = 0.0,
) -> tuple[Fit, float]:
    """Train through the model's own loss; predictions and error of the epoch of least validation error.

    Args:
        model: A DeepCpf1 model, or any with `input_ids`, `labels`, `sample_weight` and `logits`.
        data: Codes, labels, weights to train on.
        held: Codes and labels that choose the epoch.
        predict: Name -> codes.
        seed: Of batches and dropout.
        epochs: Passes; the learning rate warms up and falls by a cosine.
        batch: Rows a step.
        learning_rate: Highest.
        decay: Weight decay.
    """
    torch.manual_seed(seed)
    codes, labels, weights = (torch.from_numpy(np.ascontiguousarray(part)) for part in data)
    codes = codes.long()
    steps = epochs * math.ceil(len(codes) / batch)
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, steps, pct_start=0.1)
    best, fit = math.inf, {}
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(codes)).split(batch):
            model(codes[rows], labels=labels[rows], sample_weight=weights[rows].float()).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        error = float(((_predict(model, held[0]) - held[1]) ** 2).mean())
        if error < best:
            best, fit = error, {name: _predict(model, value) for name, value in predict.items()}
    return fit, best


def _predict(model: torch.nn.Module, codes: np.ndarray) -> np.ndarray:
    model.eval()
    with torch.inference_mode():
        parts = [model(part).logits.reshape(-1) for part in torch.from_numpy(codes).long().split(1024)]
    return torch.cat(parts).numpy()


class KmerRegressor(torch.nn.Module):
    """The k-mer BERT with a regression head behind the interface of [`fit_network`]."""

    def __init__(self, k: int, **config: Any):
        super().__init__()
        from seqformers import KmerBertConfig, KmerBertForSequenceClassification, KmerTokenizer

        self.tokenizer = KmerTokenizer(k=k, stride=1)
        shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
        self.bert = KmerBertForSequenceClassification(
            KmerBertConfig(
                k=k, max_position_embeddings=36, num_labels=1, classifier_pooling="mean", **(shape | config)
            )
        )
        self.letters = np.frombuffer(b"ACGTN", dtype=np.uint8)

    def forward(self, input_ids: torch.Tensor, labels: Any = None, sample_weight: Any = None) -> Any:
        """Codes in, indel frequencies out."""
        from transformers.modeling_outputs import SequenceClassifierOutput

        texts = [row.tobytes().decode() for row in self.letters[input_ids.numpy()]]
        logits = self.bert(**self.tokenizer(texts, return_tensors="pt")).logits[:, 0] * 30 + 40
        loss = None if labels is None else (sample_weight * (logits - labels).square()).mean()
        return SequenceClassifierOutput(loss=loss, logits=logits)


class Store:
    """Finished fits under a folder: name -> arrays."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, make: Callable[[], Fit]) -> Fit:
        """The fit called `name`, made and stored when it is not there."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            started = time.process_time()
            fit = make()
            torn = path.with_suffix(".torn.npz")
            np.savez(torn, cpu_seconds=np.float64(time.process_time() - started), **fit)
            torn.replace(path)
            print(f"{name}: {time.process_time() - started:.0f} CPU s", file=sys.stderr, flush=True)
        return dict(np.load(path))


# Models and baselines ------------------------------------------------------------------------------------------------

NETWORKS: dict[str, dict[str, Any]] = {
    "paper": {"config": {}, "weighted": False, "epochs": 35},
    "paper_weighted": {"config": {}, "weighted": True, "epochs": 35},
    "residual_weighted": {
        "config": {"num_residual_layers": 3, "num_filters": 64, "hidden_sizes": [128, 64]},
        "weighted": True,
        "epochs": 12,
        "decay": 0.01,
    },
    "mlp": {"config": {"num_filters": 0, "hidden_sizes": [120, 80, 40]}, "weighted": False, "epochs": 25},
}


def network(data: Data, name: str, seed: int) -> Fit:
    options = dict(NETWORKS[name])
    torch.manual_seed(seed)
    model = DeepCpf1Model(DeepCpf1Config(**options.pop("config")))
    return _fit_on_ht(data, model, seed, **options)


def transformer(data: Data, k: int, seed: int, epochs: int = 8) -> Fit:
    torch.manual_seed(seed)
    return _fit_on_ht(data, KmerRegressor(k), seed, weighted=False, epochs=epochs, batch=64)


def _fit_on_ht(data: Data, model: torch.nn.Module, seed: int, *, weighted: bool, **options: Any) -> Fit:
    codes, labels = data.codes["ht_1_1"], data.labels["ht_1_1"]
    weight = data.weight if weighted else np.ones(len(labels))
    train = (codes[data.train], labels[data.train], weight[data.train])
    held = (codes[data.validation], labels[data.validation])
    return fit_network(model, train, held, {name: data.codes[name] for name in TESTS}, seed=seed, **options)[0]


def classical(data: Data, store: Store, kind: str) -> Fit:
    """Regressions and trees on the field's features; penalties are chosen on the validation rows."""
    features = {name: _features(data, store, name) for name in ("ht_1_1", *TESTS)}
    labels = data.labels["ht_1_1"]
    scale = features["ht_1_1"][data.train].std(0) + 1e-6
    x, held = features["ht_1_1"][data.train] / scale, features["ht_1_1"][data.validation] / scale
    best: tuple[float, Any] = (-2.0, None)
    for model in _candidates(kind):
        y = labels[data.train]
        if kind == "cindel":  # logistic: is a guide among the best fifth?
            y = (y >= np.quantile(y, 0.8)).astype(int)
        model.fit(x, y)
        value = spearmanr(_scores(model, held), labels[data.validation]).statistic
        if value > best[0]:
            best = (value, model)
    return {name: _scores(best[1], features[name] / scale) for name in TESTS}


def _features(data: Data, store: Store, name: str) -> np.ndarray:
    heat = store.get(f"features_{name}", lambda: {"x": thermodynamic_features(list(data.tables[name].target_34))})["x"]
    return np.hstack([letter_features(data.codes[name]), heat])


def _candidates(kind: str) -> list[Any]:
    from lightgbm import LGBMRegressor
    from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge

    if kind == "l1":
        return [Lasso(alpha=a, max_iter=300, tol=1e-2, selection="random", random_state=0) for a in (0.03, 0.1)]
    if kind == "l2":
        return [Ridge(alpha=a, random_state=0) for a in (10.0, 100.0, 1000.0)]
    if kind == "l1l2":
        return [
            ElasticNet(alpha=a, l1_ratio=0.5, max_iter=300, tol=1e-2, selection="random", random_state=0)
            for a in (0.03, 0.1)
        ]
    if kind == "boosted_trees":
        common = {"n_jobs": 1, "verbose": -1, "random_state": 0, "colsample_bytree": 0.3, "learning_rate": 0.05}
        return [LGBMRegressor(n_estimators=400, num_leaves=31, min_child_samples=20, **common)]
    return [LogisticRegression(C=c, max_iter=200, solver="lbfgs") for c in (0.003, 0.03)]


def _scores(model: Any, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else model.predict(x))


def pam_alone(data: Data) -> Fit:
    """The mean label of the training targets with the same PAM."""
    train = data.tables["ht_1_1"].iloc[data.train]
    means = train.groupby(train.target_34.str[4:8]).indel_freq_pct.mean()
    return {name: data.tables[name].target_34.str[4:8].map(means).to_numpy() for name in TESTS}


def published(data: Data, path: Path) -> Fit:
    from seqformers.convert.deepcpf1 import load_deepcpf1_weights

    model = load_deepcpf1_weights(path)
    return {name: _predict(model, data.codes[name]) for name in TESTS}


def models_table(data: Data, store: Store, arguments: argparse.Namespace) -> dict[str, Any]:
    seeds = arguments.seeds
    fits: dict[str, list[Fit]] = {"pam_alone": [pam_alone(data)]}
    if arguments.published:
        fits["published_weights"] = [store.get("published", lambda: published(data, arguments.published))]
    for kind in arguments.arms:
        if kind in NETWORKS:
            fits[kind] = [store.get(f"{kind}_{s}", lambda k=kind, s=s: network(data, k, s)) for s in range(seeds)]
        elif kind.startswith("transformer_"):
            k = int(kind.rpartition("_")[2])
            fits[kind] = [store.get(f"{kind}_{s}", lambda k=k, s=s: transformer(data, k, s)) for s in range(seeds)]
        else:
            fits[kind] = [store.get(kind, lambda kind=kind: classical(data, store, kind))]
    for kind in [kind for kind in fits if len(fits[kind]) > 1]:
        fits[f"{kind}, mean of {len(fits[kind])}"] = [_mean(fits[kind])]
    pool = [fit for kind in ("paper_weighted", "residual_weighted") for fit in fits.get(kind, [])]
    if "paper_weighted" in fits and "residual_weighted" in fits:
        fits[f"paper_weighted and residual_weighted, mean of {len(pool)}"] = [_mean(pool)]
    return {"rows": {kind: _summary(data, found) for kind, found in fits.items()}, "tests": _tests(data, fits)}


def _mean(fits: list[Fit]) -> Fit:
    return {name: np.mean([fit[name] for fit in fits], axis=0) for name in TESTS}


def _summary(data: Data, fits: list[Fit]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in TESTS:
        y = data.labels[name]
        values = [float(spearmanr(fit[name], y).statistic) for fit in fits]
        out[name] = {"spearman": round(float(np.mean(values)), 4), "values": [round(value, 4) for value in values]}
        out[name]["mse"] = round(float(np.mean([((fit[name] - y) ** 2).mean() for fit in fits])), 1)
        if len(values) > 1:
            out[name]["sd"] = round(float(np.std(values, ddof=1)), 4)
        else:
            out[name]["interval_95"] = bootstrap(fits[0][name], y)
    return out


def _tests(data: Data, fits: dict[str, list[Fit]]) -> list[dict[str, Any]]:
    """The best model against every other, by its first seed or mean."""

    def ht2(kind: str) -> float:
        return float(spearmanr(fits[kind][0]["ht_2"], data.labels["ht_2"]).statistic)

    best = max(fits, key=ht2)
    rows = []
    for other in fits:
        if other == best:
            continue
        for name in TESTS:
            first, second, y = fits[best][0][name], fits[other][0][name], data.labels[name]
            z, p = steiger(first, second, y)
            low, high = bootstrap(first, y, second)
            rows.append({
                "better": best, "than": other, "data": name, "steiger_z": round(z, 2), "p": float(f"{p:.2g}"),
                "difference_95": [low, high],
            })  # fmt: skip
    return rows


def steiger(first: np.ndarray, second: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Steiger's Z (1980) that two rank correlations with the same `y` differ; two-sided p.

    Examples:
        >>> y = np.arange(50.0)
        >>> z, p = steiger(y + 3 * np.sin(y), y + 30 * np.sin(7 * y), y)
        >>> bool(z > 3), bool(p < 1e-3)
        (True, True)
    """
    a, b, c = rankdata(first), rankdata(second), rankdata(y)
    r1, r2, r12 = np.corrcoef(a, c)[0, 1], np.corrcoef(b, c)[0, 1], np.corrcoef(a, b)[0, 1]
    mean = (r1**2 + r2**2) / 2
    f = min((1 - r12) / (2 * (1 - mean)), 1.0)
    h = (1 - f * mean) / (1 - mean)
    z = (np.arctanh(r1) - np.arctanh(r2)) * math.sqrt((len(y) - 3) / (2 * (1 - r12) * h))
    return float(z), float(2 * norm.sf(abs(z)))


def bootstrap(first: np.ndarray, y: np.ndarray, second: np.ndarray | None = None, rounds: int = 1000) -> list[float]:
    """95 % percentile interval of a Spearman correlation, or of the difference of two over the same rows."""
    rng = np.random.default_rng(0)
    values = []
    for _ in range(rounds):
        rows = rng.integers(0, len(y), len(y))
        ranks = rankdata(y[rows])
        value = np.corrcoef(rankdata(first[rows]), ranks)[0, 1]
        values.append(value - (0 if second is None else np.corrcoef(rankdata(second[rows]), ranks)[0, 1]))
    return [round(float(value), 4) for value in np.quantile(values, (0.025, 0.975))]


# Input length --------------------------------------------------------------------------------------------------------


def lengths_table(data: Data, store: Store, arguments: argparse.Namespace) -> dict[str, Any]:
    rows: dict[str, Any] = {}
    for length in arguments.lengths:
        seeds = range(arguments.seeds)
        fits = [store.get(f"length{length}_{s}", lambda n=length, s=s: _length(data, n, s)) for s in seeds]
        rows[str(length)] = _summary(data, fits)
    return {"rows": rows}


def _length(data: Data, length: int, seed: int) -> Fit:
    codes, labels = data.letters("ht_1_1", length), data.labels["ht_1_1"]
    torch.manual_seed(seed)
    model = DeepCpf1Model(DeepCpf1Config(context_length=length))
    train = (codes[data.train], labels[data.train], np.ones(len(data.train)))
    held = (codes[data.validation], labels[data.validation])
    return fit_network(model, train, held, {n: data.letters(n, length) for n in TESTS}, seed=seed, epochs=25)[0]


# Nested cross-validation ---------------------------------------------------------------------------------------------


def configurations() -> list[dict[str, Any]]:
    """The 180 configurations in a fixed, shuffled order, so that any first part of them is a random search."""
    every = [dict(zip(SPACE, values, strict=True)) for values in itertools.product(*SPACE.values())]
    order = np.random.default_rng(0).permutation(len(every))
    return [every[index] for index in order]


def nested_table(data: Data, store: Store, arguments: argparse.Namespace) -> dict[str, Any]:
    """Outer folds test; inner folds choose among the configurations; a fixed fold of 1,500 chooses the epoch."""
    codes, labels = data.codes["ht_1_1"], data.labels["ht_1_1"]
    choices = configurations()[: arguments.configurations]
    rows: dict[str, Any] = {}
    for size in arguments.sizes:
        outer = np.array_split(np.random.default_rng(size).permutation(data.train), 10)
        scores, chosen = [], []
        for fold in range(arguments.outer):
            rest = np.concatenate([part for index, part in enumerate(outer) if index != fold])[:size]
            inner = np.array_split(rest, 5)
            errors = np.zeros((len(choices), arguments.inner))
            for c, i in itertools.product(range(len(choices)), range(arguments.inner)):
                train = np.concatenate([part for index, part in enumerate(inner) if index != i])
                key = f"cv/{size}_{fold}_{i}_{_key(choices[c])}"
                errors[c, i] = store.get(
                    key, lambda c=c, t=train, v=inner[i]: _cv_fit(data, choices[c], t, v, arguments.epochs)
                )["error"]
            best = choices[int(errors.mean(1).argmin())]
            key = f"cv/{size}_{fold}_test_{len(choices)}x{arguments.inner}_{_key(best)}"
            fit = store.get(key, lambda b=best, r=rest, t=outer[fold]: _cv_fit(data, b, r, t, arguments.epochs))
            scores.append(float(spearmanr(fit["prediction"], labels[outer[fold]]).statistic))
            chosen.append(best)
        rows[str(size)] = {
            "spearman": round(float(np.mean(scores)), 4),
            "sd": round(float(np.std(scores, ddof=1)), 4) if len(scores) > 1 else None,
            "folds": [round(score, 4) for score in scores],
            "chosen": chosen,
        }
    assert len(codes) == len(labels)
    return {
        "rows": rows,
        "part": {
            "configurations": f"{len(choices)} of 180", "outer_folds": f"{arguments.outer} of 10",
            "inner_folds": f"{arguments.inner} of 5", "epochs": arguments.epochs, "sizes": arguments.sizes,
        },
    }  # fmt: skip


def _key(choice: dict[str, Any]) -> str:
    return "-".join(str(value) for value in choice.values())


def _cv_fit(data: Data, choice: dict[str, Any], train: np.ndarray, test: np.ndarray, epochs: int) -> Fit:
    codes, labels = data.codes["ht_1_1"], data.labels["ht_1_1"]
    torch.manual_seed(0)
    config = DeepCpf1Config(
        num_filters=choice["num_filters"],
        kernel_size=choice["kernel_size"],
        hidden_sizes=[choice["units"], *[choice["units"] // 2] * (choice["layers"] - 1)],
    )
    held = (codes[data.validation], labels[data.validation])
    rows = (codes[train], labels[train], np.ones(len(train)))
    batch = 64 if len(train) < 4000 else 256
    fit, _ = fit_network(
        DeepCpf1Model(config), rows, held, {"prediction": codes[test]}, seed=0, epochs=epochs, batch=batch
    )
    return {**fit, "error": np.float64(((fit["prediction"] - labels[test]) ** 2).mean())}


# Command -------------------------------------------------------------------------------------------------------------

ARMS = (*NETWORKS, "transformer_3", "transformer_6", "l1", "l2", "l1l2", "boosted_trees", "cindel")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("models", "lengths", "nested-cv"))
    parser.add_argument("--data", type=Path, required=True, help="folder with ht_1_1, ht_1_2 and ht_2 as Parquet")
    parser.add_argument("--work", type=Path, required=True, help="finished fits")
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/deepcpf1_<table>.json")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--published", type=Path, help="Seq_deepCpf1_weights.h5")
    parser.add_argument("--lengths", nargs="+", type=int, default=[20, 24, 27, 30, 34, 40, 50])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1000, 2000, 4000, 8000, 12150])
    parser.add_argument("--configurations", type=int, default=180)
    parser.add_argument("--outer", type=int, default=10)
    parser.add_argument("--inner", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30, help="nested-cv")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data, store = Data(arguments.data), Store(arguments.work)
    (arguments.work / "cv").mkdir(exist_ok=True)
    make = {"models": models_table, "lengths": lengths_table, "nested-cv": nested_table}[arguments.table]
    result = make(data, store, arguments)
    output = arguments.output or Path("benchmarks/results") / f"deepcpf1_{arguments.table.replace('-', '_')}.json"
    output.write_text(json.dumps(_facts(arguments) | result, indent=1) + "\n", encoding="utf-8")
    for kind, row in result["rows"].items():
        print(kind, {key: value.get("spearman") if isinstance(value, dict) else value for key, value in row.items()})


def _facts(arguments: argparse.Namespace) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    words = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    return {
        "what": f"Cpf1 guide activity, table {arguments.table}; Spearman with the measured indel frequency",
        "command": "python -m benchmarks.tables.deepcpf1 " + " ".join(words),
        "commit": commit.stdout.strip(),
        "data": "HT 1-1 (13,500 to train on, 1,500 choose epoch and penalty), HT 1-2 (1,292), HT 2 (2,963)",
        "seeds": list(range(arguments.seeds)),
        "device": f"1 CPU thread, {platform.machine()}",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }


if __name__ == "__main__":
    main()
