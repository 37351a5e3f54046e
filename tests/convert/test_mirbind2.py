"""miRBind2's published checkpoint against the reference cases."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModel, AutoProcessor

from seqformers import PairCnnConfig, PairCnnModel, PairCnnProcessor
from seqformers.convert import convert
from tests.conftest import golden_cases


def checkpoint(path, **changes):
    """A small network in the original's layout, as the original saves it."""
    torch.manual_seed(0)
    shape = {"kind": "matrix", "max_mirna_length": 28, "pair_size": 4, "channels": [6, 5], "kernel_sizes": [6, 3]}
    state = PairCnnModel(PairCnnConfig(**shape, hidden_size=7)).state_dict()
    names = {"hidden_norm": "bn_fc", "norms": "bn_layers", "convs": "conv_layers", "pair": "pair_linear"}
    names |= {"hidden": "fc1", "classifier": "fc2"}
    old = {}
    for name, value in state.items():
        _, part, rest = name.split(".", 2)
        old[f"{names[part]}.{rest}"] = value
    torch.save({"model_state_dict": old | changes, "epoch": 3}, path)
    return path


def test_published_weights_score_as_the_original(checkpoints, tmp_path):
    source = checkpoints / "mirbind2" / "pairwise_onehot_model.safetensors"
    if not source.exists():
        pytest.skip("published weights of miRBind2 not present")
    folder = convert("mirbind2", source, tmp_path / "m")
    model, processor = AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    assert isinstance(processor, PairCnnProcessor)
    for case in golden_cases("mirbind2"):
        inputs = processor(case["mirna_seq"][: processor.max_mirna_length], case["target_seq"])
        with torch.no_grad():
            assert model(**inputs).logits.sigmoid().item() == pytest.approx(case["score"], abs=2e-6)
    card = (folder / "README.md").read_text()
    assert "license: mit" in card and "https://github.com/BioGeMT/miRBind_2.0" in card


def test_pairs_come_in_the_order_of_our_letters(tmp_path):
    source = checkpoint(tmp_path / "a.pt")
    model = PairCnnModel.from_pretrained(convert("mirbind2", source, tmp_path / "out"))
    old = torch.load(source)["model_state_dict"]["pair_linear.weight"]
    ours = model.matrix.pair.weight
    assert model.config.channels == [6, 5] and model.config.kernel_sizes == [6, 3]
    assert torch.equal(ours[:, 0], old[:, 0])  # A-A
    assert torch.equal(ours[:, 3], old[:, 1])  # A-U, which the original has second
    assert torch.equal(ours[:, 4 + 2], old[:, 8 + 3])  # C-G
    assert torch.equal(ours[:, 16:], old[:, 16:])


def test_other_files_are_refused_by_name(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other\.pt is no checkpoint of miRBind2"):
        convert("mirbind2", tmp_path / "other.pt", tmp_path / "out")
    odd = checkpoint(tmp_path / "odd.pt", **{"fc1.weight": torch.zeros(7, 11)})
    with pytest.raises(ValueError, match="does not fit miRBind2"):
        convert("mirbind2", odd, tmp_path / "out")
