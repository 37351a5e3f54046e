"""Shared by all tests: no network, one thread, the folder of real data when it is there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).resolve().parent / "golden"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of public benchmark data; tests that need it skip where it is not."""
    folder = Path(os.environ.get("SEQFORMERS_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real data not present (set SEQFORMERS_DATA)")
    return folder


@pytest.fixture(scope="session")
def checkpoints() -> Path:
    """Folder of the original projects' published weights; tests that need it skip where it is not."""
    folder = Path(os.environ.get("SEQFORMERS_CHECKPOINTS", ROOT.parent / "shared" / "checkpoints"))
    if not folder.is_dir():
        pytest.skip("published weights not present (set SEQFORMERS_CHECKPOINTS)")
    return folder


def golden_cases(name: str) -> list[dict[str, Any]]:
    """The reference cases of `tests/golden/<name>.json`."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["cases"]
