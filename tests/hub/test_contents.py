"""What goes to the Hub and what stays: allowed by kind, asked for by pattern, never."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from seqformers.cli import app
from seqformers.hub.contents import contents_of
from seqformers.hub.push import plan_push

GOES = [
    "LICENSE",
    "README.md",
    "config.json",
    "generation_config.json",
    "metrics.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "modeling_kmer_bert.py",
    "configuration_kmer_bert.py",
    "recipe.yaml",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    ".eval_results/someone--phage.yaml",
    "portable/config.json",
    "portable/model.safetensors",
    "portable/tokenizer.json",
    "seeds/0/metrics.json",
    "seeds/0/predictions-test.parquet",
    "seeds/0/training_log.jsonl",
    "seeds/12/config.json",
    "seeds/12/model.safetensors",
]
SECRET = [
    ".env", ".env.local", "prod.env", ".envrc", "seeds/0/.env", ".netrc", "_netrc", ".git-credentials", ".pypirc",
    ".ssh/id_rsa", "id_ed25519", "id_rsa.pub", ".aws/credentials", "credentials.json", "secrets.yaml", "token",
    "server.pem", "private.key", ".huggingface/token", ".bash_history", ".python_history", "login.kdbx",
]  # fmt: skip
PICKLE = [
    "weights.PT", "model.pth.tar", "weights.bin.1", "features.dill", "training_args.bin", "sklearn.joblib",
    "seeds/0/optimizer.pt", "scaler.PKL", "old.ckpt",
]  # fmt: skip
OTHER = [
    "core", "core.1234", "notes.txt", "thesis/chapter.docx", "venv/lib/python3.11/site-packages/x.py",
    ".venv/bin/python", "wandb/run-1/files/config.yaml", "predictions.tsv.partial", "p.tsv.partial.json",
    ".seqformers.json", ".p.tsv.seqformers.json", "metrics.torn", ".git/config", "__pycache__/a.pyc",
    "checkpoint-10/model.safetensors", "seeds/0/checkpoints/checkpoint-5/config.json", "reads/train.parquet",
    "my_data.csv", "train.py", ".DS_Store", "nohup.out", "study.db", "customers.json", ".hidden.safetensors",
]  # fmt: skip


def fill(folder: Path, paths: list[str]) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}")
    return folder


def test_a_run_goes_and_nothing_else(tmp_path: Path):
    found = contents_of(fill(tmp_path, [*GOES, *SECRET, *PICKLE, *OTHER]), "model")
    assert sorted(found.paths) == sorted(GOES)
    for path in [*SECRET, *PICKLE, *OTHER]:
        kept = [entry for entry in found.left_out if entry == path or (entry.endswith("/") and path.startswith(entry))]
        assert kept, path
        reason = found.left_out[kept[0]]
        assert path not in SECRET or "secrets" in reason, (path, reason)
        assert path not in PICKLE or "pickle" in reason, (path, reason)


def test_a_large_folder_is_one_line(tmp_path: Path):
    found = contents_of(fill(tmp_path, ["config.json", *(f"figures/{i}.tif" for i in range(100))]), "model")
    assert found.left_out == {"figures/": "100 files, no part of a model; --include sends it"}


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt", "metrics.json", "tokenizer.model"])
def test_a_pickle_by_another_name_stays(tmp_path: Path, name: str):
    fill(tmp_path, ["config.json"])
    (tmp_path / name).write_bytes(pickle.dumps({"a": 1}))
    assert contents_of(tmp_path, "model").left_out[name] == "pickle"
    torch.save({"a": torch.zeros(2)}, tmp_path / name)
    assert zipfile.is_zipfile(tmp_path / name) and contents_of(tmp_path, "model").left_out[name] == "pickle"


def test_include(tmp_path: Path):
    fill(tmp_path, ["config.json", "figures/a.png", "figures/b.png", "notes.txt", ".env", "weights.pt", "x/.netrc"])
    found = contents_of(tmp_path, "model", ["figures/*.png", "notes.txt"])
    assert sorted(found.paths) == ["config.json", "figures/a.png", "figures/b.png", "notes.txt"]
    assert ".env" in contents_of(tmp_path, "model", ["*"]).left_out
    assert "x/.netrc" in contents_of(tmp_path, "model", ["x/"]).left_out
    for never in (".env", "weights.pt"):
        with pytest.raises(ValueError, match="never sent"):
            contents_of(tmp_path, "model", [never])
    with pytest.raises(ValueError, match=r"no file of .* fits"):
        contents_of(tmp_path, "model", ["figure/*.png"])


def test_what_other_files_name_goes(tmp_path: Path):
    """Code of somebody else's model, pictures of the card."""
    fill(tmp_path, ["a.png", "b.png", "plots/c.svg", "my_layers.py", "my_model.py", "other.py"])
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "my_model.Mine"}}))
    (tmp_path / "my_model.py").write_text("from .my_layers import Layer\n")
    (tmp_path / "README.md").write_text(
        "---\nlicense: mit\n---\n![first](a.png) ![third](plots/c.svg) ![no](../d.png)"
    )
    paths = ["README.md", "a.png", "config.json", "my_layers.py", "my_model.py", "plots/c.svg"]
    assert sorted(contents_of(tmp_path, "model").paths) == paths


def test_a_data_set(tmp_path: Path):
    fill(tmp_path, ["reads/train-00000-of-00001.parquet", "build.json", "report.json", "raw.fasta", ".env"])
    fill(tmp_path, ["deep/er/x.parquet", "deep/er/y.parquet", "venv/pyarrow/tests/data.parquet"])
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: deep/*/x.parquet\n---\n")
    paths = ["README.md", "build.json", "deep/er/x.parquet", "reads/train-00000-of-00001.parquet", "report.json"]
    assert sorted(contents_of(tmp_path, "dataset").paths) == paths


@pytest.mark.parametrize(
    "name", ["", "a b", "you/na me", "a/b/c", "../x", "ü/x", "x" * 200, "a--b", "you/.hidden", "a/b\n"]
)
def test_impossible_names_are_one_line(tmp_path: Path, name: str):
    with pytest.raises(ValueError, match="is no name for a repository") as caught:
        plan_push(tmp_path, name)
    assert "\n" not in str(caught.value)
    done = CliRunner().invoke(app, ["push", str(tmp_path), name, "--dry-run"])
    assert isinstance(done.exception, ValueError)
