"""Linear probes: features of the frozen model computed once and kept on disk, then a convex fit of the last layer.

The features are what reaches the last linear layer of the head (pooled, after any layer before it), so the probe is
written into that layer and the run folder is an ordinary classifier of the family.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn
from tqdm.auto import tqdm

from seqformers.metrics.registry import greater_is_better, needs_groups
from seqformers.training.run import Run
from seqformers.training.tasks import Numbers, Task

__all__ = [
    "cached",
    "feature_key",
    "features_of",
    "frozen_model",
    "last_linear",
    "solve",
    "strengths_of",
    "train_probe",
    "write_into",
]

_STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)
# Fields of a configuration that choose a linear head, in the families that have another one.
_HEADS = ("sequence_head", "token_head")


def train_probe(run: Run, seed: int, folder: Path) -> tuple[Any, dict[str, Any]]:
    """Fit the last layer on frozen features.

    Args:
        run (`Run`): The run.
        seed (`int`): Draws the weights that no pretraining set (a pooler), which stay frozen as they are.
        folder (`Path`): The seed's folder.

    Returns:
        `tuple`: The probed model, and facts of the fit: the ridge strength `c` that did best on validation, and the
        seconds taken.
    """
    if not run.table.task.answers_rows:
        raise ValueError(
            "a probe reads one label a row or a residue; for several a row, or contacts, fine-tune a model"
        )
    began = time.perf_counter()
    model = frozen_model(run, seed)
    trainer = run.make_trainer(seed, folder, model, precise=True)
    cache = run.recipe.probe.get("cache", True)
    held = "validation" if "validation" in run.table.splits else None
    features = {split: features_of(run, trainer, split, cache=cache) for split in ("train", held) if split is not None}
    strength, weight, bias = _fit(run, features, held, with_bias=last_linear(model).bias is not None)
    write_into(last_linear(model), weight, bias)
    few = _few_shots(run, features["train"], trainer, seed, cache=cache)
    return model, {
        **({"shots": few} if few else {}),
        "c": strength,
        "parameters": int(sum(p.numel() for p in model.parameters())),
        "trained_parameters": int(weight.size + bias.size),
        "features": int(features["train"].shape[1]),
        "train_seconds": time.perf_counter() - began,
    }


def frozen_model(run: Run, seed: int) -> Any:
    """The model with a linear head, where the family lets one choose and the recipe does not; nothing in it trains."""
    known = getattr(run.plan.config_class, "__dataclass_fields__", {})
    linear = {name: "linear" for name in _HEADS if name in known and name not in run.recipe.model.config}
    return run.make_model(seed, linear).eval().requires_grad_(False)


def _few_shots(run: Run, train: np.ndarray, trainer: Any, seed: int, *, cache: bool) -> dict[str, Any]:
    """Scores on the test split of probes that saw few rows a class: `{"10": {"mcc": {"mean": .., "sd": ..}}}`.

    Each draw takes as many rows of every class at random and fits with c = 1, since nothing is left to choose it by
    (the protocol of GENEB-like comparisons: full, 10 and 1 rows a class).
    """
    shots, draws = run.recipe.probe.get("shots") or [], run.recipe.probe.get("draws") or 20
    if not shots:
        return {}
    if min(shots) < 1 or draws < 1:
        raise ValueError(f"probe.shots and probe.draws must be at least 1, got {shots} and {draws}")
    if run.table.task.kind != "classification" or "test" not in run.table.splits:
        raise ValueError("probe.shots draws rows a class and scores them on test: it needs classes and a test split")
    labels, truth = run.table.labels("train"), run.table.labels("test")
    rows = [np.flatnonzero(labels == number) for number in range(len(run.table.task.names))]
    if min(map(len, rows)) < max(shots):
        smallest = run.table.task.names[int(np.argmin(list(map(len, rows))))]
        raise ValueError(f"probe.shots={shots}, but class {smallest!r} has {min(map(len, rows))} training rows")
    test = features_of(run, trainer, "test", cache=cache)
    with_bias = last_linear(trainer.model).bias is not None
    found: dict[str, Any] = {}
    for count in shots:
        rng = np.random.default_rng([seed, count])
        scores = []
        for _ in range(draws):
            chosen = np.concatenate([rng.choice(part, count, replace=False) for part in rows])
            weight, bias = solve(train[chosen], labels[chosen], 1.0, run.table.task, with_bias=with_bias)
            scores.append(run.table.task.score(test @ weight.T + bias, truth, run.metrics, run.table.groups("test")))
        found[str(count)] = {
            name: {"mean": float(np.mean(values)), "sd": float(np.std(values))}
            for name in scores[0]
            if np.isfinite(values := [score[name] for score in scores]).all()
        }
    return found


def last_linear(model: Any) -> Any:
    """The linear layer that makes the logits: the last one with as many outputs as there are labels."""
    found = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == model.config.num_labels]
    if not found:
        raise ValueError(f"{type(model).__name__} has no linear layer with {model.config.num_labels} outputs to probe")
    return found[-1]


def features_of(run: Run, trainer: Any, split: str, *, cache: bool) -> np.ndarray:
    """What reaches the last linear layer for the rows of a split, `(rows, width)` float32; read from disk if known.

    The file is named by weights, data and input settings, under `SEQFORMERS_CACHE` or `~/.cache/seqformers`.
    """
    key = feature_key(run, trainer.model, run.table.splits[split]) if cache else None
    return cached(key, lambda: _compute(run, trainer, split))


def cached(key: str | None, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The array kept under this key, or that of `compute`, which is then kept; no key keeps nothing."""
    if key is None:
        return compute()
    path = _cache_folder() / f"{key}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    found = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    torn = path.with_suffix(f".{os.getpid()}.torn")
    with torn.open("wb") as file:
        np.save(file, found, allow_pickle=False)
    torn.replace(path)
    return found


def _compute(run: Run, trainer: Any, split: str) -> np.ndarray:
    caught: list[Any] = []
    hook = last_linear(trainer.model).register_forward_pre_hook(
        lambda module, inputs: caught.append(inputs[0].detach().float().cpu().numpy())
    )
    parts = []
    loader = trainer.get_test_dataloader(run.table.splits[split])
    model = trainer.model.to(trainer.args.device)
    try:
        with torch.inference_mode():
            for batch in tqdm(loader, desc=f"features of {split}", unit="batch", disable=None):
                batch = {name: value for name, value in trainer._prepare_inputs(batch).items() if name != "labels"}
                caught.clear()
                model(**batch)
                if len(caught) == 1 and caught[0].ndim == 3 and "input_ids" in batch:
                    caught[0] = _at_last_token(caught[0], batch["input_ids"], model.config.pad_token_id)
                if len(caught) != 1 or caught[0].ndim != 2:
                    raise ValueError(
                        f"{type(model).__name__} does not pass one vector a row to its last layer (of seq_cnn, "
                        "strands='max' passes two: probe it with model.config.strands=mean)"
                    )
                parts.append(caught[0])
    finally:
        hook.remove()
    return np.concatenate(parts)


def _at_last_token(features: np.ndarray, ids: torch.Tensor, padding: int | None) -> np.ndarray:
    """Of causal models, whose last layer scores every token: the one that counts, the last that is no padding."""
    real = (ids != (-1 if padding is None else padding)).cpu().numpy()
    last = real.shape[1] - 1 - real[:, ::-1].argmax(1)
    return features[np.arange(len(features)), last]


def _cache_folder() -> Path:
    root = os.environ.get("SEQFORMERS_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "seqformers") / "features"


def feature_key(run: Run, model: Any, rows: Any) -> str:
    """Hash of everything the features of these rows depend on."""
    digest = hashlib.sha256()
    skip = {id(parameter) for parameter in last_linear(model).parameters()}
    for name, tensor in model.named_parameters():
        if id(tensor) not in skip:
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).float().numpy().tobytes())
    for name, tensor in model.named_buffers():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().numpy().tobytes())
    settings = [type(model).__name__, rows._fingerprint, run.table.columns, run.plan.max_length]
    settings.append({key: value for key, value in model.config.to_dict().items() if not key.startswith("_")})
    settings.append(str(getattr(run.plan.encoder, "init_kwargs", run.plan.encoder)))
    digest.update(repr(settings).encode())
    return digest.hexdigest()[:32]


def strengths_of(run: Run, chosen: bool) -> list[float]:
    """Strengths of the ridge to try, or the one that is taken where none can be chosen."""
    given = run.recipe.probe.get("c") or (_STRENGTHS if chosen else (0.01,))
    return [given] if isinstance(given, int | float) else list(given)


def _fit(
    run: Run, features: dict[str, np.ndarray], held: str | None, *, with_bias: bool
) -> tuple[float, np.ndarray, np.ndarray]:
    """Weights of the strength that scores best on validation (the middle one where there is none)."""
    strengths = strengths_of(run, held is not None)
    labels = run.table.labels("train")
    name = run.metrics[0]
    groups = run.table.groups(held) if held is not None and needs_groups([name]) else None
    sign = 1 if greater_is_better(name) else -1
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None
    for strength in strengths:
        weight, bias = solve(features["train"], labels, strength, run.table.task, with_bias=with_bias)
        value = 0.0
        if held is not None:
            outputs = features[held] @ weight.T + bias
            value = sign * run.table.task.score(outputs, run.table.labels(held), [name], groups)[name]
        if best is None or value > best[0]:
            best = (value, strength, weight, bias)
    assert best is not None
    return best[1:]


def solve(
    features: np.ndarray, labels: np.ndarray, strength: float, task: Task, *, with_bias: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Ridge-penalised (logistic) regression on standardised features: weight `(outputs, width)`, bias `(outputs,)`.

    Without a bias (causal models of transformers have none) features are scaled and not centred.
    """
    mean, scale = features.mean(0), features.std(0)
    mean = mean if with_bias else np.zeros_like(mean)
    scale = np.where(scale > 1e-8, scale, 1.0)
    scaled = (features - mean) / scale
    if isinstance(task, Numbers):
        model = Ridge(alpha=1 / strength, fit_intercept=with_bias).fit(scaled, labels)
        weight, bias = model.coef_[None, :], np.array([model.intercept_])
    else:
        model = LogisticRegression(C=strength, max_iter=1000, fit_intercept=with_bias).fit(scaled, labels)
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:  # the logit of class 1, shared between two outputs whose difference it is
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        if len(weight) < len(task.names):  # classes without a training row never win
            full, low = np.zeros((len(task.names), weight.shape[1])), np.full(len(task.names), -1e4)
            full[model.classes_], low[model.classes_] = weight, bias
            weight, bias = full, low
    weight = weight / scale
    return weight, bias - weight @ mean


def write_into(layer: Any, weight: np.ndarray, bias: np.ndarray) -> None:
    """Put weights `(outputs, width)` and biases into the last layer."""
    if layer.out_features == 1 and len(weight) == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    if layer.bias is None and bias.any():  # a class without a training row is kept down by its bias
        raise ValueError("the last layer of this head has no bias, so every class needs a training row")
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(weight, dtype=layer.weight.dtype))
        if layer.bias is not None:
            layer.bias.copy_(torch.as_tensor(bias, dtype=layer.bias.dtype))
