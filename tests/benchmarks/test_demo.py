"""The demo makes room for itself without losing what a user has put or changed there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.demo import make_room
from seqformers.files import mark_folder


def earlier(folder: Path) -> Path:
    (folder / "run").mkdir(parents=True)
    (folder / "run" / "model").write_text("weights")
    (folder / "finetune.yaml").write_text("seeds: [0]")
    mark_folder(folder, "demo")
    return folder


def test_an_earlier_demo_goes(tmp_path: Path) -> None:
    make_room(earlier(tmp_path / "demo"))
    make_room(tmp_path / "demo")  # nothing there
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["added", "changed", "broken off", "a file"])
def test_what_a_user_did_there_is_moved_aside(tmp_path: Path, what: str) -> None:
    demo = tmp_path / "demo"
    (tmp_path / "demo-before-1").mkdir()
    if what == "a file":
        demo.write_text("mine")
    else:
        earlier(demo)
    if what == "broken off":
        (demo / ".seqformers.json").unlink()
    if what == "added":
        (demo / "mine").mkdir()
        (demo / "mine" / "notes").write_text("mine")
    if what == "changed":
        (demo / "finetune.yaml").write_text("mine")
        later = (demo / ".seqformers.json").stat().st_mtime_ns + 1_000_000_000
        os.utime(demo / "finetune.yaml", ns=(later, later))
    make_room(demo)
    aside = tmp_path / "demo-before-2"
    assert not demo.exists()
    assert aside.is_file() if what == "a file" else (aside / "finetune.yaml").is_file()
    kept = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert "mine" in kept or what == "broken off"
