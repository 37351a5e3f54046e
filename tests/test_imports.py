"""Imports go one way, in no circle, and a violation is caught wherever it stands."""

from __future__ import annotations

import pytest

from tests.imports import ALLOWED, circles, graph, known_by_detour, room, sources, wrong_arrows

TEXTS = sources()


def test_every_room_says_whom_it_may_know() -> None:
    assert {room(name) for name in TEXTS} <= set(ALLOWED) | {"modeling", "model_cards"}


def test_imports_go_one_way() -> None:
    assert wrong_arrows(graph(TEXTS)) == []


def test_training_and_inference_do_not_know_each_other() -> None:
    assert known_by_detour(graph(TEXTS)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(graph(TEXTS)) == []


@pytest.mark.parametrize(
    ("module", "line", "arrow"),
    [
        (
            "modeling.dna.modeling_kmer_bert",
            "from seqformers.tokenization.portable import save_backend",
            "tokenization",
        ),
        ("modeling.dna.modeling_kmer_bert", "from ..protein import modeling_onehot", "modeling.protein"),
        ("modeling.dna.modeling_kmer_bert", "from ...tokenization import portable", "tokenization.portable"),
        ("tokenization.portable", "def f():\n    import seqformers.files", "files"),
        ("datasets_scripts.common.fasta", "from seqformers import tables", "tables"),
        ("files", "from .tables import anything", "tables"),
        ("metrics", "if TYPE_CHECKING:\n    from seqformers.training import run", "training"),
        ("training.run", "from ..inference.predict import predict", "inference"),
        ("inference.predict", "def f():\n    from seqformers.training.run import finetune", "training"),
        ("hub.push", "from ..cli import main", "cli"),
        ("targets.scan", "import seqformers", "seqformers"),
    ],
)
def test_a_planted_violation_is_caught(module: str, line: str, arrow: str) -> None:
    name = f"seqformers.{module}"
    planted = wrong_arrows(graph({**TEXTS, name: f"{TEXTS[name]}\n{line}\n"}))
    assert [found for found in planted if found.startswith(f"{name} -> seqformers") and arrow in found], planted


def test_a_planted_circle_is_caught() -> None:
    one, other = "seqformers.tokenization.portable", "seqformers.tokenization.tokenization_kmer"
    planted = {**TEXTS, one: f"{TEXTS[one]}\ndef f():\n    from .tokenization_kmer import KmerTokenizer\n"}
    assert any({one, other} <= set(circle) for circle in circles(graph(planted)))


def test_a_planted_detour_is_caught() -> None:
    planted = dict(TEXTS)
    planted["seqformers.hub.push"] += "\nfrom seqformers.inference import predict\n"
    planted["seqformers.training.recipe"] += "\nfrom seqformers.hub.push import push\n"
    ways = known_by_detour(graph(planted))
    assert any(way.startswith("seqformers.training.recipe -> seqformers.hub.push -> seqformers.inf") for way in ways)
