"""The door for outputs: what is there stays until its successor is whole, and nobody else's files ever go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqformers.files import MARK, Output, did_you_mean, fingerprint, is_made_here, safe_name, write_json


def write(path: Path, text: str, **options) -> None:
    with Output(path, "example", **options) as output:
        if not output.finished:
            output.start().write_text(text)
            output.finish()


def write_folder(path: Path, text: str, job: str = "example", **options) -> None:
    with Output(path, job, folder=True, **options) as output:
        (output.start() / "a.txt").write_text(text)
        output.finish()


class TestFiles:
    def test_an_existing_output_is_refused_and_kept(self, tmp_path):
        (tmp_path / "a").write_text("mine")
        with pytest.raises(FileExistsError, match="--overwrite"):
            write(tmp_path / "a", "new")
        assert (tmp_path / "a").read_text() == "mine"

    def test_overwrite_replaces_only_when_finished(self, tmp_path):
        (tmp_path / "a").write_text("old")
        with pytest.raises(ZeroDivisionError), Output(tmp_path / "a", "example", overwrite=True) as output:
            output.start().write_text("half")
            raise ZeroDivisionError
        assert (tmp_path / "a").read_text() == "old"
        write(tmp_path / "a", "new", overwrite=True)
        assert (tmp_path / "a").read_text() == "new"

    @pytest.mark.parametrize("how", ["same", "relative", "symlink", "hardlink", "parent"])
    def test_an_output_is_never_an_input(self, tmp_path, monkeypatch, how):
        source = tmp_path / "in.fa"
        source.write_text(">a\nACGT\n")
        target: Path | str = source
        if how == "relative":
            monkeypatch.chdir(tmp_path)
            target = "./in.fa"
        elif how == "symlink":
            target = tmp_path / "link"
            target.symlink_to(source)
        elif how == "hardlink":
            target = tmp_path / "hard"
            os.link(source, target)
        elif how == "parent":
            target = tmp_path
        with pytest.raises(ValueError, match="the input"):
            Output(target, "example", inputs=[source], overwrite=True, folder=how == "parent")
        assert source.read_text() == ">a\nACGT\n"

    def test_a_step_on_the_way_leaves_nothing(self, tmp_path):
        with Output(tmp_path / "steps", "example", settings={}, folder=True) as output:
            (output.start() / "a.txt").write_text("a")
            output.discard()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("place", [".", "..", "/"])
    def test_an_output_has_a_name(self, place):
        with pytest.raises(ValueError, match="give it a name of its own"):
            Output(place, "example", folder=True, overwrite=True)

    def test_a_file_does_not_replace_a_folder(self, tmp_path):
        (tmp_path / "thesis").mkdir()
        with pytest.raises(FileExistsError, match="is a folder"):
            Output(tmp_path / "thesis", "example", overwrite=True)

    def test_checks_leave_no_trace(self, tmp_path):
        with pytest.raises(ValueError, match="bad"), Output(tmp_path / "new" / "a", "example"):
            raise ValueError("bad")
        assert list(tmp_path.iterdir()) == []

    def test_an_interrupted_output_stays_until_the_work_starts(self, tmp_path):
        with Output(tmp_path / "a", "example") as output:
            output.start().write_text("half")
        with pytest.raises(ValueError), Output(tmp_path / "a", "example"):
            raise ValueError("wrong input")
        assert (tmp_path / "a.partial").read_text() == "half"
        write(tmp_path / "a", "whole")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


class TestResume:
    def test_the_same_settings_go_on(self, tmp_path):
        with Output(tmp_path / "a", "example", settings={"model": "m"}) as output:
            output.start().write_text("half")
        with Output(tmp_path / "a", "example", settings={"model": "m"}, resume=True) as output:
            assert output.start().read_text() == "half"
            output.finish()
        with Output(tmp_path / "a", "example", settings={"model": "m"}, resume=True) as output:
            assert output.finished

    @pytest.mark.parametrize("finished", [False, True])
    def test_other_settings_are_refused_by_name(self, tmp_path, finished):
        with Output(tmp_path / "a", "example", settings={"model": "m", "window": 3}) as output:
            output.start().write_text("text")
            if finished:
                output.finish()
        with (
            pytest.raises(ValueError, match="window: then 3, now 4"),
            Output(tmp_path / "a", "example", settings={"model": "m", "window": 4}, resume=True) as output,
        ):
            output.start()

    def test_a_torn_header_is_refused(self, tmp_path):
        with Output(tmp_path / "a", "example", settings={"model": "m"}) as output:
            output.start().write_text("half")
        (tmp_path / "a.partial.json").write_text("{")
        with (
            pytest.raises(ValueError, match="not known"),
            Output(tmp_path / "a", "example", settings={"model": "m"}, resume=True) as output,
        ):
            output.start()

    def test_a_finished_file_of_unknown_origin_is_refused(self, tmp_path):
        (tmp_path / "a").write_text("somebody's")
        with pytest.raises(ValueError, match="not known"):
            Output(tmp_path / "a", "example", settings={}, resume=True)


class TestFolders:
    def test_only_folders_of_the_same_job_are_replaced(self, tmp_path):
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "notes.txt").write_text("years")
        with pytest.raises(FileExistsError, match="no earlier output of `example`"):
            write_folder(tmp_path / "project", "new", overwrite=True)
        write_folder(tmp_path / "other", "x", job="convert")
        with pytest.raises(FileExistsError, match="written by `convert`"):
            write_folder(tmp_path / "other", "new", overwrite=True)
        assert (tmp_path / "project" / "notes.txt").read_text() == "years"

    def test_files_that_somebody_added_are_never_removed(self, tmp_path):
        write_folder(tmp_path / "out", "old")
        (tmp_path / "out" / "sub").mkdir()
        (tmp_path / "out" / "sub" / "notes.txt").write_text("mine")
        with pytest.raises(FileExistsError, match=r"sub/notes\.txt"):
            write_folder(tmp_path / "out", "new", overwrite=True)
        (tmp_path / "out" / "sub" / "notes.txt").unlink()
        write_folder(tmp_path / "out", "new", overwrite=True)
        assert (tmp_path / "out" / "a.txt").read_text() == "new"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]

    def test_a_resume_takes_no_folder_of_somebody_else_for_a_finished_output(self, tmp_path):
        (tmp_path / "project").mkdir()
        (tmp_path / "project" / "notes.txt").write_text("years")
        with pytest.raises(FileExistsError, match="is not gone on with: it is no earlier output of `example`"):
            write_folder(tmp_path / "project", "new", resume=True)
        assert [path.name for path in tmp_path.rglob("*.txt")] == ["notes.txt"]

    def test_an_empty_folder_is_filled(self, tmp_path):
        (tmp_path / "out").mkdir()
        write_folder(tmp_path / "out", "new")
        assert is_made_here(tmp_path / "out", "example")
        assert json.loads((tmp_path / "out" / MARK).read_text())["files"] == ["a.txt"]


def test_two_processes_never_write_one_output(tmp_path):
    code = (
        "import sys, time; from seqformers.files import Output\n"
        "with Output(sys.argv[1], 'example') as output:\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "a")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None and other.stdout.readline() == "locked\n"
    with pytest.raises(OSError, match="another process is writing"):
        write(tmp_path / "a", "mine")
    other.kill()
    other.wait()
    write(tmp_path / "a", "mine")  # a killed process holds no lock
    assert (tmp_path / "a").read_text() == "mine"


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_fingerprints_tell_files_apart(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"0" * 1000)
    second.write_bytes(b"0" * 999 + b"1")
    assert fingerprint(first)["sha256"] != fingerprint(second)["sha256"]
    assert fingerprint(tmp_path)["bytes"] == 2000
    assert fingerprint("-") == {"name": "-", "bytes": None, "sha256": None}


def test_names_of_files_are_safe_and_different():
    assert safe_name("../../etc/passwd") == "_.._etc_passwd"
    assert safe_name("") == "_"
    assert safe_name("$x$") == "_x_"
    names = {safe_name("a" * 300), safe_name("a" * 301)}
    assert len(names) == 2 and all(len(name) <= 80 for name in names)


def test_near_words_are_offered():
    assert did_you_mean("modle", ["model", "data"]) == "did you mean 'model'? "
