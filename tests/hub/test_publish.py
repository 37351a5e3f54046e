"""A release of several repositories on the loopback Hub: checked first, then all, and again after an interruption."""

import shutil
from pathlib import Path

import pytest
from transformers import AutoModel, AutoProcessor
from typer.testing import CliRunner

from benchmarks.release import write_hub
from seqformers.cli import app
from seqformers.hub import publish as room
from seqformers.hub.load import PACKAGED
from seqformers.hub.publish import plan_all, publish
from seqformers.hub.spaces.write import PAGES

ORG = "loopback"


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    return write_hub(tmp_path_factory.mktemp("release") / "hub")


def test_a_release_holds_every_packaged_model_its_pages_and_the_data_that_may_go(release):
    found = {(one.kind, one.repo_id.removeprefix("loopback/seqformers-")) for one in plan_all(release, ORG)}
    models = {("model", family.replace("_", "-")) for family in PACKAGED}
    pages = {("space", family.replace("_", "-")) for family in set(PACKAGED) & set(PAGES)}
    data = {("dataset", f"made-up-virome-{config}") for config in ("pretrain", "reads-150")}
    assert found == models | pages | data


def test_all_arrive_and_load_as_a_stranger_would(hub, release, tmp_path):
    said: list[str] = []
    results = publish(release, ORG, said=said.append)
    assert len(said) == len(results) == len(plan_all(release, ORG)) and all(result.changed for result in results)
    repo = "loopback/seqformers-pair-cnn"
    model = AutoModel.from_pretrained(repo, trust_remote_code=True, cache_dir=tmp_path)
    processor = AutoProcessor.from_pretrained(repo, trust_remote_code=True, cache_dir=tmp_path)
    assert model(**processor(["UGAGGUAGUAGGUUGUAUAGUU"], ["CAAACUACCUCAUUUAAGCGG"])).logits.shape == (1,)


def test_an_interrupted_one_goes_on_with_what_is_left(hub, release, tmp_path, monkeypatch):
    small = tmp_path / "hub"
    for name in ("pair-cnn", "targetnet"):
        shutil.copytree(release / "models" / f"seqformers-{name}", small / "models" / f"seqformers-{name}")
    real, calls = room.push_to_hub, []

    def failing(folder, repo_id, **options):
        calls.append(repo_id)
        if len(calls) == 2:
            raise OSError("the line is dead")
        return real(folder, repo_id, **options)

    with monkeypatch.context() as patch:
        patch.setattr(room, "push_to_hub", failing)
        with pytest.raises(OSError, match="dead"):
            publish(small, ORG)
    assert [result.changed for result in publish(small, ORG)] == [False, True]


def test_nothing_goes_while_one_of_them_is_not_complete(hub, release, tmp_path):
    small = tmp_path / "hub"
    for name in ("pair-cnn", "targetnet"):
        shutil.copytree(release / "models" / f"seqformers-{name}", small / "models" / name)
    (small / "models" / "targetnet" / "README.md").unlink()
    with pytest.raises(ValueError, match=r"nothing was sent:\n.*models/targetnet cannot be pushed[^\n]*\n.*README"):
        publish(small, ORG)
    assert not hub.repositories


def test_a_dry_run_lists_and_sends_nothing(hub, release):
    result = CliRunner().invoke(app, ["publish", str(release), "--org", ORG, "--dry-run"])
    assert result.exit_code == 0 and "nothing was sent" in result.output
    assert "loopback/seqformers-deepcpf1 (model" in result.output
    assert not hub.repositories


def test_a_folder_without_repositories_is_refused_with_what_it_should_hold(tmp_path):
    with pytest.raises(ValueError, match="models/NAME"):
        plan_all(tmp_path, ORG)
    with pytest.raises(FileNotFoundError, match="make release"):
        plan_all(tmp_path / "absent", ORG)
