"""Filters of a TargetNet: counts against a loop over all windows, tables and logos, mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seqformers.hub.load import load_model
from seqformers.inference.windowing import reverse_complement
from seqformers.interpret.explain import explain
from seqformers.interpret.site_filters import site_filter_motifs


def some_pairs(count: int) -> list[tuple[str, str]]:
    """miRNAs and stretches of 60 nt that hold a match of nucleotides 2 to 8."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(count):
        mirna = "".join(rng.choice(list("ACGT"), 22))
        target = "".join(rng.choice(list("ACGT"), 60))
        at = int(rng.integers(5, 45))
        target = target[:at] + reverse_complement(mirna[1:8]) + target[at + 7 :]
        pairs.append((mirna.replace("T", "U"), target.replace("T", "U")))
    return pairs


def test_counts_are_those_of_a_loop_over_all_windows() -> None:
    loaded = load_model("targetnet", None, family="targetnet", device="cpu")
    pairs = some_pairs(6)
    found = site_filter_motifs(loaded, pairs)
    ids = np.concatenate([loaded.encoder(*pair)["input_ids"].numpy() for pair in pairs]).astype(int)
    convolution = loaded.model.stem.convs[0]
    weight, left = convolution.weight.detach().numpy(), convolution.left
    filters, _, width = weight.shape
    assert len(found) == filters
    active = np.zeros((len(ids), filters, ids.shape[2]))
    for site, (mirna, target) in enumerate(ids):
        for place in range(ids.shape[2]):
            for step in range(width):
                at = place - left + step
                if 0 <= at < ids.shape[2]:
                    active[site, :, place] += mirna[at] and weight[:, mirna[at] - 1, step]
                    active[site, :, place] += target[at] and weight[:, 4 + target[at], step]
    for index in (0, filters - 1):
        limit = 0.5 * active[:, index].max()
        counts = np.zeros((2, width, 4), int)
        sites, places = np.nonzero(active[:, index] > limit + 1e-6) if limit > 0 else ((), ())
        for site, place in zip(sites, places, strict=True):
            for part in (0, 1):
                for step in range(width):
                    at = place - left + step
                    letter = ids[site, part, at] if 0 <= at < ids.shape[2] else 0
                    if 1 <= letter <= 4:
                        counts[part, step, letter - 1] += 1
        for part in (0, 1):
            assert np.array_equal(found[index][part].counts, counts[part])
            assert found[index][part].sites == len(sites)


def test_a_table_of_pairs_becomes_a_table_of_filters_and_logos(tmp_path: Path) -> None:
    pytest.importorskip("logomaker")
    table = tmp_path / "pairs.tsv"
    pd.DataFrame(some_pairs(8), columns=["mirna", "target"]).to_csv(table, sep="\t", index=False)
    explain("targetnet", table, tmp_path / "out", methods=["filters"], plots=1, progress=False)
    rows = pd.read_csv(tmp_path / "out" / "filters.tsv", sep="\t")
    assert rows["filter"].tolist() == list(range(len(rows))) and rows["windows"].sum() > 0
    assert rows["target_consensus"].dropna().str.fullmatch("[ACGUacgu]+").all()
    assert len(list((tmp_path / "out" / "plots").iterdir())) == 2
    pd.DataFrame({"mirna": ["A" * 22], "target": ["A" * 60]}).to_csv(table, sep="\t", index=False)
    with pytest.raises(ValueError, match="no pair has a candidate site"):
        explain("targetnet", table, tmp_path / "none", methods=["filters"], progress=False)
    table.write_text("mirna\tsite\nACGU\tACGU\n")
    with pytest.raises(ValueError, match="target"):
        explain("targetnet", table, tmp_path / "wrong", methods=["filters"], progress=False)
