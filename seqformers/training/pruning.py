"""Smaller models: the smallest weights become zero, linear layers become int8, and what that costs is measured.

Of every matrix (of layers, convolutions, recurrences and embeddings) the same share of weights is set to zero, those
of the smallest magnitude (Han et al. 2015); vectors such as biases stay. Nothing is trained afterwards.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save as as_safetensors
from torch import nn
from transformers import AutoConfig
from transformers.utils import logging

from seqformers.files import Output, finite, write_text
from seqformers.hub.devices import quiet_loading
from seqformers.hub.load import model_folder, quantized
from seqformers.hub.private import without_folders
from seqformers.metrics.registry import greater_is_better
from seqformers.pictures import save_picture
from seqformers.training.evaluation import names_of, recipe_of_run
from seqformers.training.folder import write_run_folder
from seqformers.training.plots import draw_sizes
from seqformers.training.recipe import BaselineRecipe
from seqformers.training.run import Run

__all__ = ["SHARES", "prune", "prune_weights"]

SHARES = (0.2, 0.4, 0.6, 0.8)


def prune(
    run: str | Path,
    output: str | Path,
    overrides: Sequence[str] = (),
    *,
    shares: Sequence[float] = SHARES,
    tolerance: float = 0.01,
    overwrite: bool = False,
    command: str | None = None,
) -> Path:
    """Measure pruned and int8 forms of a finished run, and write the most pruned one that is still good.

    Args:
        run (`str` or `Path`): Run folder or Hub repository with its recipe.
        output (`str` or `Path`): Folder to write, a Hub repository: weights with zeros in them, card, `sizes.tsv`
            (one row a share and precision: weights, those that are not zero, megabytes as saved and compressed, every
            metric on validation and test) and `sizes.png`.
        overrides (`Sequence[str]`): Changes to its recipe, mostly of the data.
        shares (`Sequence[float]`): Shares of zeros to try, 0 to below 1.
        tolerance (`float`): How much worse than the whole model the first metric may be on validation (by itself,
            not by a ratio).
        overwrite (`bool`): Replace `output`.
        command (`str`, *optional*): The command line, for the card.

    Returns:
        `Path`: `output`. Its weights are fp32; load them with `precision="int8"` for the other form.

    Raises:
        FileNotFoundError: no such run or data.
        FileExistsError: `output` is there.
        ValueError: a share is out of range, or the run has no recipe or no validation rows.
    """
    if not shares or not all(0 <= share < 1 for share in shares) or tolerance < 0:
        raise ValueError(f"shares must be from 0 to below 1 and tolerance at least 0, got {shares} and {tolerance}")
    logging.disable_progress_bar()
    source = model_folder(run)
    recipe = recipe_of_run(source, overrides)
    splits = recipe.data.splits | {"train": None}
    recipe = replace(recipe, data=replace(recipe.data, splits=splits), baselines=BaselineRecipe(names=[]), seeds=[0])
    recipe = replace(recipe, task="finetune" if recipe.task == "probe" else recipe.task, probe={})
    settings = {"shares": sorted(shares), "tolerance": tolerance}
    with Output(output, "prune", inputs=[source], settings=settings, folder=True, overwrite=overwrite) as place:
        prepared = Run.prepare(
            recipe, Path(output), command=None if command is None else without_folders(command), names=_names(source)
        )
        if "validation" not in prepared.table.splits:
            raise ValueError("pruning is judged on validation rows (data.splits.validation)")
        prepared.output = place.start()
        prepared.keep_recipe()
        sizes = _measure(prepared, source, sorted({0.0, *shares}))
        _write(prepared, source, sizes, tolerance)
        place.finish()
    return Path(output)


def prune_weights(model: nn.Module, share: float) -> None:
    """Set the smallest weights of every matrix to zero, in place.

    Args:
        model (`nn.Module`): Any network; tied matrices are pruned once.
        share (`float`): Of the weights of each matrix, 0 to below 1; ties at the border stay.

    Examples:
        >>> layer = torch.nn.Linear(4, 1, bias=False)
        >>> _ = layer.weight.data.copy_(torch.tensor([[0.1, -3.0, 0.2, 2.0]]))
        >>> prune_weights(layer, 0.5)
        >>> layer.weight.tolist()
        [[0.0, -3.0, 0.0, 2.0]]
    """
    for weight in model.parameters():
        count = int(share * weight.numel())
        if weight.ndim < 2 or not count:
            continue
        limit = weight.detach().abs().flatten().kthvalue(count).values
        with torch.no_grad():
            weight.mul_(weight.abs() > limit)


def _names(source: Path) -> list[str] | None:
    return names_of(AutoConfig.from_pretrained(source))


def _load(run: Run, source: Path, share: float) -> Any:
    with quiet_loading():
        model = run.plan.model_class.from_pretrained(source).eval()
    prune_weights(model, share)
    return model


def _measure(run: Run, source: Path, shares: Sequence[float]) -> pd.DataFrame:
    """One row a share and precision."""
    rows = []
    for precision in ("fp32", "int8"):
        for share in shares:
            model = _load(run, source, share)
            row = {"share": share, "precision": precision, **_size(model, precision)}
            model = quantized(model) if precision == "int8" else model
            scored = run.output / "scored"
            trainer = run.make_trainer(0, scored, model, precise=True)
            for split in ("validation", "test"):
                if split in run.table.splits:
                    scored.mkdir(exist_ok=True)
                    found, _ = run.score(trainer, split, scored)
                    row |= {f"{split}_{name}": value for name, value in found.items()}
            rows.append(row)
    shutil.rmtree(run.output / "scored", ignore_errors=True)
    return pd.DataFrame(rows)


def _size(model: Any, precision: str) -> dict[str, Any]:
    """Weights, those that are not zero, and megabytes; int8 is one byte a weight of a linear layer."""
    linear = {id(part.weight) for part in model.modules() if isinstance(part, nn.Linear)}
    tensors = {name: value.detach().contiguous() for name, value in model.named_parameters()}
    if precision == "int8":
        for name, value in model.named_parameters():
            if id(value) in linear:
                scale = value.detach().abs().max().clamp(min=1e-12) / 127
                tensors[name] = (value.detach() / scale).round().to(torch.int8)
    data = as_safetensors(tensors)
    return {
        "weights": int(sum(value.numel() for value in tensors.values())),
        "not_zero": int(sum(int((value != 0).sum()) for _, value in model.named_parameters())),
        "megabytes": round(len(data) / 1e6, 4),
        "megabytes_compressed": round(len(zlib.compress(data, 6)) / 1e6, 4),
    }


def _chosen(sizes: pd.DataFrame, metric: str, tolerance: float) -> float:
    """The largest share that is not worse by more than the tolerance."""
    whole = sizes[sizes["precision"] == "fp32"].sort_values("share")
    values = whole[f"validation_{metric}"].to_numpy()
    loss = values[0] - values if greater_is_better(metric) else values - values[0]
    return float(whole["share"].to_numpy()[loss <= tolerance].max())


def _write(run: Run, source: Path, sizes: pd.DataFrame, tolerance: float) -> None:
    metric = run.metrics[0]
    share = _chosen(sizes, metric, tolerance)
    folder = run.output / "seeds" / "0"
    folder.mkdir(parents=True)
    model = _load(run, source, share)
    run.save_model(model, folder)
    trainer = run.make_trainer(0, folder, model, precise=True)
    result: dict[str, Any] = {"seed": 0, "metrics": {}, "parameters": int(sizes["weights"].iloc[0])}
    for split in ("validation", "test"):
        if split in run.table.splits:
            result["metrics"][split], result[f"{split}_speed"] = run.score(trainer, split, folder)
    write_text(run.output / "sizes.tsv", sizes.to_csv(sep="\t", index=False))
    shown = "test" if "test" in run.table.splits else "validation"
    save_picture(draw_sizes(sizes, metric, shown), run.output / "sizes.png")
    kept = sizes[(sizes["precision"] == "fp32") & (sizes["share"] == share)].iloc[0]
    run.notes.append(
        f"Pruned: {share:.0%} of the weights of every matrix are zero, the smallest ones; {int(kept['not_zero']):,} "
        f"are left. It is the largest share tried that loses at most {tolerance:g} {metric} on validation; "
        "`sizes.tsv` and `sizes.png` show the others, and int8."
    )
    write_run_folder(run, [json.loads(json.dumps(finite(result)))])
