"""The front page: every verb under the user it is for, quiet on request."""

import os
import warnings

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from seqformers import cli
from seqformers.cli import _app


def test_without_arguments_the_jobs_are_listed_by_user():
    page = CliRunner().invoke(cli.app, []).output
    panels = [_app.ANSWERS, _app.RUN, _app.TRAIN, _app.SHARE]
    places = [page.index(panel) for panel in panels]
    assert places == sorted(places)
    assert all(f" {verb} " in page for verb in get_command(cli.app).commands)


def test_every_verb_stands_under_a_user():
    panels = {_app.ANSWERS, _app.RUN, _app.TRAIN, _app.SHARE}
    assert {
        name for name, verb in get_command(cli.app).commands.items() if verb.rich_help_panel not in panels
    } == set()


@pytest.mark.parametrize("verb", sorted(get_command(cli.app).commands))
def test_every_verb_has_a_call_to_paste(verb):
    assert f"seqformers {verb}" in " ".join(CliRunner().invoke(cli.app, [verb, "--help"]).output.split())


def test_a_verb_says_what_comes_next_unless_told_to_be_quiet(tmp_path):
    (tmp_path / "mirna.fa").write_text(">let-7a\nUGAGGUAGUAGGUUGUAUAGUU\n")
    (tmp_path / "utr.fa").write_text(">u\nGGAGCAAUCUCAACUGACUUAGUUAGUAAGCAUUCAAACUACCUCAUUUAAGC\n")
    words = ["scan-targets", "--mirna", str(tmp_path / "mirna.fa"), "--mrna", str(tmp_path / "utr.fa")]
    loud = CliRunner().invoke(cli.app, [*words, "-o", str(tmp_path / "loud.tsv")])
    still = CliRunner().invoke(cli.app, ["--quiet", *words, "-o", str(tmp_path / "still.tsv")])
    assert "next: " in loud.stderr and still.stderr == ""
    assert (tmp_path / "loud.tsv").read_bytes() == (tmp_path / "still.tsv").read_bytes()


def test_threads_of_a_command_wait_asleep_unless_told_otherwise(monkeypatch):
    """A thread that waits by spinning takes the core that a busy neighbour, or its own sibling, has work for."""
    monkeypatch.setattr(_app, "app", lambda: None)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # put back afterwards
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("KMP_BLOCKTIME", "200")
    cli.main()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["KMP_BLOCKTIME"]) == ("ACTIVE", "200")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    cli.main()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
