"""Maps of alignments and contacts: the model's own numbers, in the right places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqformers import (
    PlusRnnConfig,
    PlusRnnForPairClassification,
    ProteinBertConfig,
    ProteinBertForContactPrediction,
    ProteinTokenizer,
)
from seqformers.hub.load import Loaded
from seqformers.hub.repository import write_model_repository
from seqformers.inference.predict import predict
from seqformers.interpret.explain import explain
from seqformers.interpret.protein_maps import alignment_map, contact_map, plot_alignment, plot_contacts


def test_alignment_map_holds_the_weights_of_the_score():
    torch.manual_seed(0)
    model = PlusRnnForPairClassification(PlusRnnConfig(hidden_size=6, num_hidden_layers=1, projection_size=4))
    tokenizer = ProteinTokenizer("plus")
    loaded = Loaded(model.eval(), tokenizer, model.config)
    weights, score = alignment_map(loaded, "MKTAY", "MKV")
    assert weights.shape == (5, 3) and (weights > 0).all() and (weights <= 1).all()
    swapped, same = alignment_map(loaded, "MKV", "MKTAY")
    np.testing.assert_allclose(swapped, weights.T, atol=1e-6)
    assert same == pytest.approx(score, abs=1e-5)
    assert score == pytest.approx(model(**tokenizer("MKTAY", "MKV", return_tensors="pt")).scores.item(), abs=1e-5)
    figure = plot_alignment(weights, score, names=("a", "b"))
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), weights)


def test_contact_map_is_symmetric_and_drawn_beside_the_truth():
    torch.manual_seed(0)
    config = ProteinBertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    model = ProteinBertForContactPrediction(config)
    tokenizer = ProteinTokenizer("tape")
    found = contact_map(Loaded(model.eval(), tokenizer, config), "MKTAY")
    assert found.shape == (5, 5) and np.allclose(found, found.T, atol=1e-6)
    truth = np.eye(5, dtype=int)
    truth[4, 0] = -1
    shown = plot_contacts(found, truth).axes[0].images[0].get_array()
    assert (
        shown[0, 4] == pytest.approx(found[0, 4]) and shown[3, 1] == 0 and np.isnan(np.ma.filled(shown, np.nan)[4, 0])
    )
    with pytest.raises(ValueError, match="shape"):
        plot_contacts(found, truth[:4])


def test_models_of_another_kind_are_refused():
    config = ProteinBertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    model = ProteinBertForContactPrediction(config)
    with pytest.raises(ValueError, match="does not align"):
        alignment_map(Loaded(model, ProteinTokenizer("tape"), config), "MK", "MV")
    with pytest.raises(ValueError, match="predicts no contacts"):
        contact_map(Loaded(model.bert, ProteinTokenizer("tape"), config), "MK")


def test_explain_writes_tables_and_pictures(tmp_path):
    torch.manual_seed(0)
    fasta = tmp_path / "proteins.fasta"
    fasta.write_text(">a/1\nMKTAYIAKQR\n>b\nMKTAYIWKQRQ\n>c\nACDEFGHIKL\n")
    model = PlusRnnForPairClassification(PlusRnnConfig(hidden_size=6, num_hidden_layers=1, projection_size=4))
    run = write_model_repository(tmp_path / "plus", model, tokenizer=ProteinTokenizer("plus"))
    out = explain(run, fasta, tmp_path / "aligned", methods=["alignment"], plots=1)
    rows = [line.split("\t") for line in (out / "alignment.tsv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [["first", "second"], ["a/1", "b"], ["a/1", "c"]]
    _, score = alignment_map(Loaded(model.eval(), ProteinTokenizer("plus"), model.config), "MKTAYIAKQR", "ACDEFGHIKL")
    assert float(rows[2][2]) == pytest.approx(score, rel=1e-4)
    assert [path.name for path in (out / "plots").iterdir()] == ["0001-b.png"]

    config = ProteinBertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    contacts = ProteinBertForContactPrediction(config)
    run = write_model_repository(tmp_path / "tape", contacts, tokenizer=ProteinTokenizer("tape"))
    out = explain(run, fasta, tmp_path / "maps", methods=["contacts"])
    assert len((out / "contacts.tsv").read_text().splitlines()) == 1 + 10 + 15 + 10
    assert len(list((out / "plots").iterdir())) == 3
    with pytest.raises(ValueError, match=r"predicts contacts: seqformers explain .* --method contacts"):
        predict(run, fasta, tmp_path / "p.tsv", progress=False)
    with pytest.raises(ValueError, match="one at a time"):
        explain(run, fasta, tmp_path / "both", methods=["contacts", "attention"])
    with pytest.raises(ValueError, match="does not align"):
        explain(run, fasta, tmp_path / "wrong", methods=["alignment"])
    fasta.write_text(f">titin\n{'ACDEFGHIKL' * 3000}\n")
    with pytest.raises(ValueError, match="'titin' has 30,000 residues, and a map of 30,000 x 30,000 is too large"):
        explain(run, fasta, tmp_path / "titin", methods=["contacts"])
