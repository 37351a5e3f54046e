"""TargetNet's published checkpoint, and what every conversion shares: the command, its output, its card."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from seqformers import TargetNetConfig, TargetNetModel
from seqformers.cli import app
from seqformers.convert import convert


def test_refuses_what_is_no_checkpoint(tmp_path):
    (tmp_path / "x.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="no PyTorch state dict"):
        convert("targetnet", tmp_path / "x.pt", tmp_path / "out")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "y.pt")
    with pytest.raises(ValueError, match="holds no TargetNet weights"):
        convert("targetnet", tmp_path / "y.pt", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="no such file"):
        convert("targetnet", tmp_path / "z.pt", tmp_path / "out")
    with pytest.raises(ValueError, match=r"known: .*targetnet"):
        convert("nonsense", tmp_path / "x.pt", tmp_path / "out")


def test_command(tmp_path):
    listed = CliRunner().invoke(app, ["convert", "--list"])
    assert listed.exit_code == 0 and "targetnet" in listed.output
    missing = CliRunner().invoke(app, ["convert", "targetnet", str(tmp_path / "x.pt"), str(tmp_path / "out")])
    assert isinstance(missing.exception, FileNotFoundError)


def checkpoint(path: Path) -> Path:
    """A small network, the alignment left out, in the original's layout."""
    torch.save(
        {
            "stem.0.conv.1.weight": torch.randn(8, 8, 5),
            "stem.1.conv.1.weight": torch.randn(8, 8, 5),
            **{f"stage1.{b}.conv{c}.1.weight": torch.randn(8, 8, 3) for b in (0, 1) for c in (1, 2)},
            "stage2.0.conv1.1.weight": torch.randn(16, 8, 3),
            "stage2.0.conv2.1.weight": torch.randn(16, 16, 3),
            "linear.weight": torch.randn(1, 16 * 13),
            "linear.bias": torch.zeros(1),
        },
        path,
    )
    return path


def test_ablations_are_recognised(tmp_path):
    source = checkpoint(tmp_path / "a.pt")
    model = TargetNetModel.from_pretrained(convert("targetnet", source, tmp_path / "out"))
    assert not model.config.encode_alignment and model.config.num_blocks == [2, 2, 1]
    assert torch.equal(model.blocks[2].conv1.weight, torch.load(source)["stage2.0.conv1.1.weight"])
    assert (tmp_path / "out" / "modeling_targetnet.py").is_file()
    assert not list((tmp_path / "out").glob("*.bin"))


@pytest.mark.parametrize("value", [torch.zeros(3), torch.tensor(1.0), torch.zeros(2, 2), None], ids=str)
def test_tensors_of_other_shapes_are_one_line(tmp_path, value):
    """Whichever tensor is missing or odd, for the converter that reads most sizes off the shapes."""
    state = torch.load(checkpoint(tmp_path / "a.pt"))
    for name in state:
        if value is None and name == "stem.1.conv.1.weight":
            continue  # a network of one layer less
        odd = {key: tensor for key, tensor in (state | {name: value}).items() if tensor is not None}
        torch.save(odd, tmp_path / "odd.pt")
        with pytest.raises(ValueError) as caught:
            convert("targetnet", tmp_path / "odd.pt", tmp_path / "out")
        assert "\n" not in str(caught.value) and "odd.pt" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_card_names_the_origin(tmp_path):
    source = checkpoint(tmp_path / "a.pt")
    text = (convert("targetnet", source, tmp_path / "out") / "README.md").read_text()
    assert hashlib.sha256(source.read_bytes()).hexdigest() in text and "Licence: MIT" in text
    assert "No score was measured." in text and str(tmp_path) not in text
    assert ModelCard(text).data.license == "mit"


def test_an_earlier_conversion_is_replaced_and_nothing_else(tmp_path):
    source, out = checkpoint(tmp_path / "a.pt"), tmp_path / "out"
    convert("targetnet", source, out)
    with pytest.raises(FileExistsError, match="--overwrite"):
        convert("targetnet", source, out)
    before = (out / "model.safetensors").read_bytes()
    checkpoint(source)  # other random weights
    assert (convert("targetnet", source, out, overwrite=True) / "model.safetensors").read_bytes() != before
    (out / "notes.txt").write_text("years")
    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        convert("targetnet", source, out, overwrite=True)
    assert (out / "notes.txt").read_text() == "years"
    (out / "notes.txt").unlink()
    TargetNetModel(TargetNetConfig()).save_pretrained(tmp_path / "mine")  # a model, but of no conversion
    with pytest.raises(FileExistsError, match="no earlier output"):
        convert("targetnet", source, tmp_path / "mine", overwrite=True)


def test_a_failure_leaves_the_earlier_conversion(tmp_path):
    out = convert("targetnet", checkpoint(tmp_path / "a.pt"), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (tmp_path / "x.pt").write_bytes(b"not a checkpoint")
    for wrong in (tmp_path / "x.pt", tmp_path / "typo.pt"):
        with pytest.raises((ValueError, FileNotFoundError)):
            convert("targetnet", wrong, out, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pt", "out", "x.pt"]


def test_the_output_is_not_the_source(tmp_path):
    (tmp_path / "in").mkdir()
    checkpoint(tmp_path / "in" / "a.pt")
    with pytest.raises(ValueError, match="holds the input"):
        convert("targetnet", tmp_path / "in" / "a.pt", tmp_path / "in", overwrite=True)
    assert (tmp_path / "in" / "a.pt").is_file()
