"""Pairs of proteins on the command line: two files, all against all, against one forward a pair; shares, mistakes."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from seqformers import PlusRnnConfig, PlusRnnForPairClassification, ProteinTokenizer
from seqformers.cli import app
from seqformers.hub.repository import write_model_repository
from seqformers.inference import pairs
from seqformers.inference.pairs import predict_pairs

LEVELS = {0: "none", 1: "class", 2: "fold", 3: "superfamily", 4: "family"}


def protein(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACDEFGHIKLMNPQRSTVWY"), length))


FIRST = {f"p{i}": protein(n, i) for i, n in enumerate((12, 30, 5, 21))}
OTHER = {f"q{i}": protein(n, 10 + i) for i, n in enumerate((9, 40, 17))}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(0)
    config = PlusRnnConfig(
        hidden_size=6, num_hidden_layers=1, projection_size=4, num_labels=5, id2label=LEVELS, label2id={}
    )
    model = PlusRnnForPairClassification(config).eval()
    model.ordinal_head.bias.data = torch.tensor([1.5, 1.0, 0.5, 0.0]) * 2
    folder = tmp_path_factory.mktemp("pairs") / "run"
    return write_model_repository(folder, model, tokenizer=ProteinTokenizer("plus", model_max_length=90))


def write(path, proteins):
    path.write_text("".join(f">{name} x\n{letters}\n" for name, letters in proteins.items()))
    return path


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "a.fasta", {**FIRST, "empty": ""}), write(tmp_path / "b.fasta", OTHER)


def one_by_one(run, wanted):
    """Label and expected level of each pair, a forward each."""
    model = PlusRnnForPairClassification.from_pretrained(run).double().eval()
    rows = []
    for a, b in wanted:
        with torch.no_grad():
            batch = ProteinTokenizer("plus")([{**FIRST, **OTHER}[a]], [{**FIRST, **OTHER}[b]], return_tensors="pt")
            ordinal = model(**batch).ordinal_logits[0]
        above = [1.0, *ordinal.sigmoid().tolist(), 0.0]
        chance = np.array([above[k] * (1 - above[k + 1]) for k in range(5)])
        chance /= chance.sum()
        rows.append((a, b, LEVELS[int(chance.argmax())], float(chance @ np.arange(5))))
    return rows


def check(table, wanted):
    assert table[["id_a", "id_b", "label"]].values.tolist() == [list(row[:3]) for row in wanted]
    assert table["score"].tolist() == pytest.approx([row[3] for row in wanted], abs=1e-5)


def test_two_files_and_all_against_all(run, files, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "_AT_ONCE", 4)
    with pytest.warns(UserWarning, match="no residue"):
        predict_pairs(run, files[0], tmp_path / "two.tsv", against=files[1], batch_size=3, progress=False)
    check(pd.read_csv(tmp_path / "two.tsv", sep="\t"), one_by_one(run, itertools.product(FIRST, OTHER)))
    result = CliRunner().invoke(app, ["predict", str(run), str(files[1]), "-o", str(tmp_path / "all.tsv")])
    assert result.exit_code == 0, result.output
    check(pd.read_csv(tmp_path / "all.tsv", sep="\t"), one_by_one(run, itertools.combinations(OTHER, 2)))


def test_shares_join_to_the_whole(run, files, tmp_path):
    for share in ("1/2", "2/2"):
        predict_pairs(run, files[1], tmp_path / f"{share[0]}.tsv", against=files[1], shard=share, progress=False)
    predict_pairs(run, files[1], tmp_path / "whole.tsv", against=files[1], progress=False)
    parts = pd.concat(pd.read_csv(tmp_path / f"{i}.tsv", sep="\t") for i in (1, 2))
    whole = pd.read_csv(tmp_path / "whole.tsv", sep="\t")
    assert sorted(parts.values.tolist()) == sorted(whole.values.tolist()) and len(whole) == 9


def test_shards_of_a_cluster_join_to_the_whole(run, files, tmp_path, shards_here):
    predict_pairs(run, files[1], tmp_path / "whole.tsv", against=files[1], progress=False)
    predict_pairs(run, files[1], tmp_path / "ray.tsv", against=files[1], engine="ray", progress=False)
    assert (tmp_path / "ray.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    with pytest.raises(ValueError, match="give the file as --against too"):
        predict_pairs(run, files[1], tmp_path / "x.tsv", engine="ray", progress=False)


def test_mistakes_are_named(run, files, tmp_path):
    long = write(tmp_path / "long.fasta", {"a": protein(60, 1), "b": protein(30, 2)})
    with pytest.raises(ValueError, match=r"'a' and 'b' have 90 residues, more than the 86"):
        predict_pairs(run, long, tmp_path / "x.tsv", progress=False)
    with pytest.warns(UserWarning, match="1 pairs left out"):
        predict_pairs(run, long, tmp_path / "y.tsv", on_error="skip", progress=False)
    with pytest.raises(ValueError, match="give the file as --against too"):
        predict_pairs(run, files[1], tmp_path / "x.tsv", shard="1/2", progress=False)
    for option in (["--window", "5"], ["--per", "residue"]):
        result = CliRunner().invoke(app, ["predict", str(run), str(files[1]), "-o", str(tmp_path / "z.tsv"), *option])
        assert result.exit_code and "compares pairs" in f"{result.output}{result.exception}"


def test_a_protein_alone_makes_no_pair_and_is_said(run, tmp_path):
    write(tmp_path / "one.fasta", {"lonely": "MKVLAAG"})
    with pytest.warns(UserWarning, match="1 record is alone and makes no pair; .*'lonely'"):
        predict_pairs(run, tmp_path / "one.fasta", tmp_path / "t.tsv", progress=False)
    assert len(pd.read_csv(tmp_path / "t.tsv", sep="\t")) == 0
