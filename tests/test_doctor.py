"""The report on an installation: what is there, what is missing, and what is broken."""

import json
import shutil
from importlib.metadata import PackageNotFoundError

import pytest
from typer.testing import CliRunner

from seqformers import doctor
from seqformers.cli import app
from seqformers.hub import load


@pytest.fixture(scope="module")
def findings():
    return doctor.diagnose()


def test_every_packaged_model_is_asked_and_answers(findings):
    models = {finding.name: finding for finding in findings if finding.section == "models"}
    assert set(models) == {*load.PACKAGED, "deepcpf1_best"}
    assert {finding.state for finding in models.values()} == {"ok"}, models


def test_nothing_is_broken_where_the_tests_run(findings):
    assert not [finding for finding in findings if finding.state == "broken"]


def test_every_extra_that_a_user_may_need_is_named_with_its_job():
    declared = {finding.name for finding in doctor._extras()}
    assert {"convert", "interpret", "space", "tables", "tune"} <= declared
    assert all(": " in finding.value for finding in doctor._extras())


def test_a_missing_extra_is_named_with_the_command_that_brings_it(monkeypatch):
    real = doctor.version

    def without_optuna(name):
        if name == "optuna":
            raise PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(doctor, "version", without_optuna)
    (tune,) = [finding for finding in doctor._extras() if finding.name == "tune"]
    assert tune.state == "missing" and "pip install 'seqformers[tune]'" in tune.value


def test_a_torn_model_is_broken_by_name_and_the_command_ends_with_one(monkeypatch, tmp_path):
    folder = shutil.copytree(load.packaged_model("pair_cnn"), tmp_path / "pair_cnn")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    monkeypatch.setattr(load, "packaged_model", lambda family: folder)
    monkeypatch.setattr(doctor, "_SELF_TESTS", {"pair_cnn": doctor._ask_pair_cnn})
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "!!  pair_cnn: ValueError" in result.output and "model.safetensors" in result.output


def test_a_wrong_answer_is_broken_too(monkeypatch):
    monkeypatch.setattr(doctor, "_SELF_TESTS", {"targetnet": lambda: doctor._expect("one is two", 1 == 2)})
    (finding,) = [finding for finding in doctor.diagnose() if finding.section == "models"]
    assert finding.state == "broken" and "one is two" in finding.value


def test_programs_read_json():
    result = CliRunner().invoke(app, ["doctor", "--json", "--no-self-test"])
    rows = json.loads(result.stdout)
    assert {"python", "torch", "transformers"} <= {row["name"] for row in rows if row["section"] == "versions"}
