"""Families ship alone and so repeat what they share; these copies stay equal but for the family's name."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import ROOT

PREFIXES = {
    "onehot": "OneHot",
    "unirep": "UniRep",
    "tape_lstm": "TapeLstm",
    "tape_resnet": "TapeResnet",
    "p_elmo": "PElmo",
    "plus_rnn": "PlusRnn",
    "protein_bert": "ProteinBert",
}
BASELINES = ["onehot", "unirep", "tape_lstm", "tape_resnet", "p_elmo"]
TAPE = BASELINES[:4]
COPIES = {
    "FamilyWeightNorm": [*BASELINES, "protein_bert"],
    "FamilyResidueHead": BASELINES,
    "FamilyOutput": BASELINES,
    "FamilyForTokenClassification": BASELINES,
    "FamilyContactHead": TAPE,
    "FamilyForContactPrediction": TAPE,
    "FamilyPairOutput": ["p_elmo", "plus_rnn"],
    "_real_tokens": BASELINES,
    "_masked_mean_loss": BASELINES,
    "_protein_loss": BASELINES,
    "_turn": ["tape_lstm", "p_elmo"],
    "_lengths": ["tape_lstm", "p_elmo"],
}


def definitions(family: str) -> dict[str, str]:
    """What a family's modeling file defines: name -> code without docstrings, the family's name taken out."""
    text = (ROOT / "modeling" / "protein" / f"modeling_{family}.py").read_text(encoding="utf-8")
    tree = ast.parse(text.replace(PREFIXES[family], "Family").replace(f"self.{family}", "self.family"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body = node.body[1:]
    return {node.name: ast.unparse(node) for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_equal(name: str):
    first, *others = COPIES[name]
    for other in others:
        assert definitions(other)[name] == definitions(first)[name], f"{other} differs from {first}"
