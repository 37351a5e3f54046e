"""Secrets are found in every form and never printed; folders of a machine are cut out of texts."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from seqformers.hub.private import find_secrets, redact, without_folders

TOKENS = {
    "an access token of the Hub": "hf_" + "aB3dE" * 7,
    "an AWS key": "AKIA" + "IOSFODNN7EXAMPLE",
    "an AWS secret": "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "a token of GitHub": "ghp_" + "a1B2c3D4e5" * 4,
    "a secret key (sk-...)": "sk-" + "proj-abcDEF123456abcDEF123456",
    "a key of Weights & Biases": "WANDB_API_KEY=" + "0123456789abcdef" * 2 + "01234567",
    "a private key": "-----BEGIN OPENSSH PRIVATE " + "KEY-----",
    "a password": "machine api.wandb.ai\n  login user\n  password " + "0123456789abcdef",
}
MORE = [
    "github_pat_" + "11ABCDEFG0abcdefghijklmnop", "sk-" + "a" * 48, "sk-ant-" + "api03-abc_def-123456789012345",
    "AWS_SECRET_ACCESS_KEY: '" + "a/B+" * 10 + "'", "-----BEGIN RSA PRIVATE " + "KEY-----", "gho_" + "x" * 36,
    "-----BEGIN PGP PRIVATE " + "KEY BLOCK-----", "wandb.login(key='" + "0f" * 20 + "')", "ASIA" + "ABCDEFGHIJKLMNOP",
    "glpat-" + "abcdefghij0123456789", "AIza" + "b" * 35, "xoxb-" + "123456789012-abc",
]  # fmt: skip


def packed(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/notes.txt", text)
    return buffer.getvalue()


PACKED = packed(b"words " * 100)


def found(tmp_path: Path, name: str, content: bytes) -> list[str]:
    (tmp_path / name).write_bytes(content)
    return find_secrets(name, tmp_path / name)


@pytest.mark.parametrize(("what", "token"), [*TOKENS.items(), *(("", token) for token in MORE)])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32", "latin-1"])
def test_tokens_in_every_encoding(tmp_path: Path, what: str, token: str, encoding: str):
    problems = found(tmp_path, "notes.md", f"first\nsecond é\nkey: {token} and more\n".encode(encoding))
    assert any(problem.startswith(what) and problem.endswith("in line 3") for problem in problems)
    assert not any(part in problem for problem in problems for part in token.split() if len(part) > 12)


@pytest.mark.parametrize("token", TOKENS.values())
def test_tokens_packed_away(tmp_path: Path, token: str):
    text = f"some words before\n{token}\n".encode()
    assert "in base64 in line 2" in found(tmp_path, "a.yaml", b"x: 1\ndata: " + base64.b64encode(text) + b"\n")[0]
    wrapped = base64.encodebytes(b"words " * 20 + text)
    assert found(tmp_path, "a.json", b'"' + wrapped + b'"')
    assert found(tmp_path, "a.json", json.dumps({"key": wrapped.decode()}).encode())
    assert "hexadecimal" in " ".join(found(tmp_path, "b.txt", text.hex().encode()))
    assert "gzip" in found(tmp_path, "c.tsv.gz", gzip.compress(text))[0]
    assert found(tmp_path, "d.txt", base64.b64encode(gzip.compress(text)))
    assert "inner/notes.txt" in found(tmp_path, "e.npz", packed(text))[0]


def test_tokens_in_tables_and_tensors(tmp_path: Path):
    token = TOKENS["an access token of the Hub"]
    columns = {"id": ["a", "b"], "label": [0, 1]}
    pq.write_table(pa.table(columns | {"note": ["none", token]}), tmp_path / "t.parquet", compression="zstd")
    assert find_secrets("t.parquet", tmp_path / "t.parquet") == ["an access token of the Hub in column note, row 2"]
    nested = pa.table(columns | {"notes": [["x"], ["y", token]], "kind": pa.array([token, "b"]).dictionary_encode()})
    pq.write_table(nested, tmp_path / "n.parquet")
    assert len(find_secrets("n.parquet", tmp_path / "n.parquet")) == 2
    pq.write_table(pa.table(columns), tmp_path / "clean.parquet")
    assert find_secrets("clean.parquet", tmp_path / "clean.parquet") == []
    save_file({"w": np.ones(3)}, tmp_path / "m.safetensors", metadata={"note": token})
    assert "metadata" in find_secrets("m.safetensors", tmp_path / "m.safetensors")[0]
    save_file({"w": np.ones(3), "text": np.frombuffer(token.encode(), np.uint8)}, tmp_path / "t.safetensors")
    assert "in the tensor text" in find_secrets("t.safetensors", tmp_path / "t.safetensors")[0]


def test_a_large_file_is_read_in_blocks_that_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import seqformers.hub.private as private

    for name, value in (("_UNPACKED", 1 << 10), ("_BLOCK", 1 << 10), ("_OVERLAP", 256)):
        monkeypatch.setattr(private, name, value)
    token = TOKENS["a token of GitHub"].encode()
    for before in (0, 1000, 1020, 5000):
        assert found(tmp_path, "log.txt", b"\n" * before + token + b"\n" * 4000)


def test_what_is_no_secret_passes(tmp_path: Path):
    words = [
        "hf_hub_download, hf_xet and HF_TOKEN", "task-specific risk-averse-but-very-long-hyphenated-words here",
        "commit bba454a0123456789abcdef0123456789abcdef01", "AKIA is a name", "-----BEGIN PUBLIC KEY-----",
        "wandb: project x", "sk-learn and sk-ssh keys", "secret_key: none", "ghp_short",
    ]  # fmt: skip
    assert found(tmp_path, "README.md", "\n".join(words).encode()) == []
    protein = ">p\nAKIAVLGGEDLWRRKNPQST\n" + "AKIAVLGGEDLWRRKNPQST" * 3
    assert found(tmp_path, "p.fasta", protein.encode()) == []
    pq.write_table(pa.table({"sequence": ["AKIAVLGGEDLWRRKNPQST", "ACGT" * 100]}), tmp_path / "p.parquet")
    assert find_secrets("p.parquet", tmp_path / "p.parquet") == []


@given(st.text(alphabet="ACGTNacgtn>\n \t0123456789.", max_size=400))
def test_sequences_and_numbers_never_look_like_secrets(text: str):
    assert find_secrets("a.md", Path("a.md"), text.encode()) == []


@given(
    st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"PK\x03\x04", PACKED]), st.binary(max_size=200)
)
def test_torn_and_odd_files_are_no_error(start: bytes, rest: bytes):
    assert find_secrets("a.json", Path("a.json"), start + rest) == []
    assert find_secrets("a.json", Path("a.json"), start[: len(rest)] + rest + start[len(rest) :]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data.path=/home/anna/phage/reads --output runs/a", "data.path=reads --output runs/a"),
        ("path: /Users/anna/My Data/reads\n", "path: reads\n"),
        ('"path": "/mnt/x/y.parquet",', '"path": "y.parquet",'),
        ("`~/thesis/data`", "`data`"),
        (r"C:\Users\Anna\reads and more", "reads and more"),
        ('"C:\\\\Users\\\\Anna\\\\reads"', '"reads"'),
        ("file:///tmp/abc/model", "model"),
        ("(/scratch/7/run)", "(run)"),
        ("https://huggingface.co/a/b/tree/main", "https://huggingface.co/a/b/tree/main"),
        ("A/C, and/or, 3/4, tokens/s, a/b/c, ./x/y, ../x/y", "A/C, and/or, 3/4, tokens/s, a/b/c, ./x/y, ../x/y"),
        ("me/model on /dev/null", "me/model on /dev/null"),
        ("</details>\n</summary>", "</details>\n</summary>"),
    ],
)
def test_folders_are_cut(text: str, expected: str):
    assert without_folders(text) == expected
    assert without_folders(without_folders(text)) == without_folders(text)


def test_redact():
    assert redact("token hf_abcdefghijkl refused") == "token hf_*** refused"
