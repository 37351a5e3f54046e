"""What is loaded runs no code, what is unpacked stays in its folder, tokens stay secret."""

from __future__ import annotations

import ast
import io
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from datasets import DownloadManager
from transformers import BertConfig, BertForMaskedLM

from seqformers import convert
from seqformers.hub.push import push_to_hub
from tests.conftest import ROOT
from tests.hub.loopback import LoopbackHub

SOURCES = [
    path
    for room in ("seqformers", "modeling", "tokenization", "datasets_scripts")
    for path in (ROOT / room).rglob("*.py")
]


def calls(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Dotted name and constant keyword arguments of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            constants = {word.arg: getattr(word.value, "value", "?") for word in node.keywords if word.arg}
            yield ast.unparse(node.func), constants


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_file_runs_what_it_reads(path: Path):
    for name, words in calls(path):
        assert name not in ("eval", "exec", "pickle.load", "pickle.loads", "joblib.load", "dill.load"), name
        assert name != "torch.load" or words.get("weights_only") is True
        assert name not in ("np.load", "numpy.load") or words.get("allow_pickle", False) is False
        assert name != "yaml.load" or "(yaml.SafeLoader)" in path.read_text(encoding="utf-8")
        assert words.get("shell") is not True
        assert not name.endswith((".extractall", ".unpack_archive")), "archives are unpacked by datasets"


class Evil:
    """Unpickling this creates a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.marker,))


@pytest.mark.parametrize("project", ["targetnet", "dnabert"])
def test_converting_a_pickle_with_code_in_it_does_not_run_it(project: str, tmp_path: Path):
    marker = tmp_path / "was-run"
    source = tmp_path / "in"
    source.mkdir()
    for name in ("weights.pt", "pytorch_model.bin"):
        torch.save({"layer": Evil(marker)}, source / name)
    BertConfig(vocab_size=69, num_hidden_layers=1).save_pretrained(source)
    (source / "vocab.txt").write_text("")
    given = source / "weights.pt" if project == "targetnet" else source
    with pytest.raises(ValueError):
        convert.convert(project, given, tmp_path / "out")
    assert not marker.exists()


def test_archives_cannot_write_outside_their_folder(tmp_path: Path):
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for name in ("good.txt", "../evil.txt", str(tmp_path / "absolute.txt")):
            member = tarfile.TarInfo(name)
            member.size = 4
            file.addfile(member, io.BytesIO(b"data"))
    folder = Path(DownloadManager().extract(str(archive)))
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"good.txt"}
    assert not (folder.parent / "evil.txt").exists() and not (tmp_path / "absolute.txt").exists()


def test_tokens_are_neither_printed_nor_written(
    hub: LoopbackHub, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    BertForMaskedLM(config).save_pretrained(run)
    (run / "README.md").write_text("---\nlicense: mit\n---\n")
    wrong = "hf_" + "wrong" * 7
    with caplog.at_level(logging.DEBUG):
        push_to_hub(run, "loopback/tiny", token=hub.token)
        with pytest.raises(OSError) as caught:
            push_to_hub(run, "loopback/tiny", token=wrong)
    printed = caplog.text + "".join(capfd.readouterr()) + str(caught.value)
    written = b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())
    for token in (hub.token, wrong):
        assert token not in printed and token.encode() not in written
    assert all(hub.token.encode() not in content for content in hub.files("loopback/tiny").values())
