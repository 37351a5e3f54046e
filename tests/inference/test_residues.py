"""Labels of residues on the command line: against one forward, pieces of long proteins, every output, resume."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from seqformers import (
    OneHotConfig,
    OneHotForTokenClassification,
    ProteinTokenizer,
    merge,
)
from seqformers.cli import app
from seqformers.hub.repository import write_model_repository
from seqformers.inference import residues
from seqformers.inference.residues import letters_of, predict_residues

LENGTHS = (30, 1, 70, 12, 200)
NAMES = {0: "inside", 1: "outside", 2: "membrane"}


def protein(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACDEFGHIKLMNPQRSTVWY"), length))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network of convolutions of width 5 and 3 on one-hot residues: a label hangs on three residues to each side."""
    torch.manual_seed(0)
    config = OneHotConfig(classifier_hidden_size=8, num_labels=3, id2label=NAMES)
    model = OneHotForTokenClassification(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    folder = tmp_path_factory.mktemp("residues") / "run"
    return write_model_repository(folder, model, tokenizer=ProteinTokenizer("tape", model_max_length=82))


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "in.fasta"
    path.write_text("".join(f">p{i} x\n{protein(n, i)}\n" for i, n in enumerate(LENGTHS)) + ">empty\n")
    return path


@pytest.fixture(scope="module")
def whole(run):
    """Probabilities of each protein from one forward of the whole."""
    model = OneHotForTokenClassification.from_pretrained(run).double().eval()
    tokenizer = ProteinTokenizer("tape")
    with torch.no_grad():
        return [
            model(torch.tensor([tokenizer(protein(n, i)).input_ids])).logits[0, 1:-1].softmax(-1).numpy()
            for i, n in enumerate(LENGTHS)
        ]


def test_shards_of_a_cluster_join_to_the_whole(run, fasta, tmp_path, shards_here):
    predict_residues(run, fasta, tmp_path / "whole.tsv", per="residue", progress=False)
    predict_residues(run, fasta, tmp_path / "ray.tsv", per="residue", engine="ray", progress=False)
    assert (tmp_path / "ray.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    with pytest.raises(ValueError, match="shards are tables"):
        predict_residues(run, fasta, tmp_path / "x.gff3", engine="ray", progress=False)


def test_a_row_a_record(run, fasta, tmp_path, whole):
    predict_residues(run, fasta, tmp_path / "t.tsv", progress=False)
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t", dtype=str, keep_default_na=False)
    assert table["id"].tolist() == [*(f"p{i}" for i in range(len(LENGTHS))), "empty"]
    for labels, digits, expected in zip(table["labels"], table["confidence"], whole, strict=False):
        assert labels == "".join("ioM"[k] for k in expected.argmax(1))
        assert digits == "".join(str(min(int(p * 10), 9)) for p in expected.max(1))
    assert table.iloc[-1].tolist() == ["empty", "0", "", ""]


def test_a_row_a_residue_by_the_command(run, fasta, tmp_path, whole):
    words = ["predict", str(run), str(fasta), "-o", str(tmp_path / "t.tsv"), "--per", "residue", "--batch-size", "2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "t.tsv", sep="\t", keep_default_na=False)
    assert list(table.columns) == ["id", "position", "residue", "label", "score"]
    assert table.groupby("id", sort=False).size().tolist() == list(LENGTHS)
    last = table[table["id"] == "p4"]
    assert "".join(last["residue"]) == protein(200, 4) and last["position"].tolist() == list(range(1, 201))
    assert last["label"].tolist() == [NAMES[k] for k in whole[4].argmax(1)]
    np.testing.assert_allclose(last["score"], whole[4].max(1), atol=1e-3)


def test_segments(run, fasta, tmp_path):
    predict_residues(run, fasta, tmp_path / "t.tsv", progress=False)
    predict_residues(run, fasta, tmp_path / "t.gff3", progress=False)
    labels = pd.read_csv(tmp_path / "t.tsv", sep="\t", dtype=str).set_index("id")["labels"]
    kinds = {
        "i": "cytoplasmic_polypeptide_region",
        "o": "non_cytoplasmic_polypeptide_region",
        "M": "transmembrane_helix",
    }
    painted = {name: [""] * len(text) for name, text in labels.dropna().items()}
    for line in (tmp_path / "t.gff3").read_text().splitlines():
        if not line.startswith("#"):
            name, _, kind, start, stop, *_ = line.split("\t")
            painted[name][int(start) - 1 : int(stop)] = [kind] * (int(stop) - int(start) + 1)
    assert painted == {name: [kinds[letter] for letter in text] for name, text in labels.dropna().items()}


def test_an_interrupted_table_goes_on_in_the_middle_of_a_record(run, fasta, tmp_path, monkeypatch):
    predict_residues(run, fasta, tmp_path / "whole.tsv", per="residue", progress=False)
    real, calls = residues._rows, []

    def failing(record, *rest):
        calls.append(record)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(record, *rest)

    monkeypatch.setattr(residues, "_rows", failing)
    with pytest.raises(KeyboardInterrupt):
        predict_residues(run, fasta, tmp_path / "t.tsv", per="residue", progress=False)
    monkeypatch.setattr(residues, "_rows", real)
    torn = (tmp_path / "t.tsv.partial").read_text().splitlines(keepends=True)
    (tmp_path / "t.tsv.partial").write_text("".join(torn[:20]))
    predict_residues(run, fasta, tmp_path / "t.tsv", per="residue", resume=True, progress=False)
    assert (tmp_path / "t.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_shards_merge_to_the_single_run(run, fasta, tmp_path):
    predict_residues(run, fasta, tmp_path / "whole.tsv", progress=False)
    parts = [tmp_path / f"{i}.tsv" for i in (1, 2)]
    for i, part in enumerate(parts, 1):
        predict_residues(run, fasta, part, shard=f"{i}/2", progress=False)
    merge(parts, tmp_path / "merged.tsv")
    assert (tmp_path / "merged.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()


def test_pieces_cover_a_record_once():
    record = type("Record", (), {"sequence": "A" * 1000})()
    for most in (1000, 999, 100, 80, 7, 2):
        pieces = residues._cut(record, most)
        assert pieces[0][0] == 0 and pieces[-1][1] == 1000
        assert all(stop - start <= most for start, stop in pieces)
        assert all(second[0] <= first[1] for first, second in itertools.pairwise(pieces))


def test_classes_by_letters():
    assert letters_of(list("GHIBESTC")) == list("GHIBESTC")
    assert letters_of(["LABEL_0", "LABEL_1"]) == ["A", "B"]


def test_what_is_of_whole_records_is_refused(run, fasta, tmp_path):
    result = CliRunner().invoke(
        app, ["predict", str(run), str(fasta), "-o", str(tmp_path / "t.tsv"), "--both-strands"]
    )
    assert "labels residues: leave it out" in str(result.exception)


def test_records_without_residues_and_letters_of_several_are_said(run, tmp_path):
    path = tmp_path / "odd.fasta"
    path.write_text(">none\n>odd\nMKxBUL\n>plain\nMKV\n")
    with pytest.warns(UserWarning) as caught:
        predict_residues(run, path, tmp_path / "t.tsv", progress=False)
    said = "\n".join(str(warning.message) for warning in caught)
    assert "1 records hold no residue and got no label: 'none'" in said
    assert "3 letters B, J, O, U, X, Z are no one of the 20 residues" in said
    assert pd.read_csv(tmp_path / "t.tsv", sep="\t", dtype=str)["length"].tolist() == ["0", "6", "3"]
