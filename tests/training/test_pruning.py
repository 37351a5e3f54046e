"""Pruned and int8 forms of a run: what is zero, how large files are, and which one is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from seqformers.hub.load import load_model
from seqformers.training import finetune
from seqformers.training.pruning import prune, prune_weights
from tests.training.conftest import TINY

pytestmark = pytest.mark.usefixtures("no_intervals")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, request: Any) -> Path:
    recipe = {
        "model": {"type": "kmer_bert", "config": TINY},
        "tokenizer": {"k": 3},
        "data": {"path": str(request.getfixturevalue("reads"))},
        "training": {"per_device_train_batch_size": 16, "max_steps": 40, "learning_rate": 1e-2, "use_cpu": True,
                     "bf16": False},
        "metrics": ["auroc", "accuracy"],
        "baselines": {"names": []},
    }  # fmt: skip
    return finetune(recipe, output=tmp_path_factory.mktemp("run") / "run")


def test_the_smallest_weights_of_every_matrix_are_zero() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv1d(3, 4, 5), torch.nn.Embedding(7, 3), torch.nn.Linear(10, 6))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    prune_weights(model, 0.3)
    for name, value in model.state_dict().items():
        order = np.sort(before[name].abs().flatten().numpy())
        limit = order[int(0.3 * len(order)) - 1] if value.ndim > 1 else -1.0
        expected = torch.where(before[name].abs() > limit, before[name], 0.0)
        assert torch.equal(value, expected)


def test_the_most_pruned_model_within_the_tolerance_is_written(trained: Path, tmp_path: Path) -> None:
    folder = prune(trained, tmp_path / "pruned", shares=[0.5, 0.99], tolerance=0.1, command="seqformers prune runs/ft")
    sizes = pd.read_csv(folder / "sizes.tsv", sep="\t")
    assert sizes["share"].tolist() == [0.0, 0.5, 0.99] * 2
    assert sizes["precision"].tolist() == ["fp32"] * 3 + ["int8"] * 3
    whole = json.loads((trained / "metrics.json").read_text())["metrics"]
    for split in ("validation", "test"):
        assert sizes[f"{split}_auroc"][0] == pytest.approx(whole[split]["auroc"]["mean"])
    assert (np.diff(sizes["megabytes_compressed"][:3]) < 0).all()
    assert (sizes["megabytes"][3:].to_numpy() < sizes["megabytes"][:3].to_numpy()).all()
    good = sizes["validation_auroc"][:3] >= sizes["validation_auroc"][0] - 0.1
    best = sizes["share"][:3][good].max()
    assert best < 0.99 or good.all()
    loaded = load_model(folder, None)
    zeros = int(sum((value == 0).sum() for value in loaded.model.parameters()))
    weights = sum(value.numel() for value in loaded.model.parameters())
    row = sizes[(sizes["share"] == best) & (sizes["precision"] == "fp32")].iloc[0]
    assert weights - zeros == row["not_zero"] and weights == row["weights"]
    found = json.loads((folder / "metrics.json").read_text())["metrics"]["test"]["auroc"]["mean"]
    assert found == pytest.approx(row["test_auroc"])
    card = (folder / "README.md").read_text()
    assert f"Pruned: {best:.0%}" in card and str(tmp_path) not in card
    assert (folder / "sizes.png").stat().st_size > 5000 and not (folder / "scored").exists()


def test_mistakes_are_named(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shares must be from 0 to below 1"):
        prune(trained, tmp_path / "x", shares=[1.0])
    with pytest.raises(ValueError, match="judged on validation rows"):
        prune(trained, tmp_path / "x", ["data.splits.validation=null"])
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").touch()
    with pytest.raises(FileExistsError):
        prune(trained, tmp_path / "there")
