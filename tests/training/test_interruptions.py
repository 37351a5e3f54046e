"""Kills, Ctrl-C and full disks: at most one checkpoint interval is lost, and the message says how to go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from seqformers.training import pretrain, running
from seqformers.training.callbacks import clear_disk_errors
from seqformers.training.running import last_whole_checkpoint

# Slows every step down, so that a signal falls between two checkpoints whatever the machine.
SLOW = """
import sys, time
from transformers import TrainerCallback
import seqformers.training.callbacks as callbacks
plain = callbacks.RunLog.on_step_end
def slow(self, args, state, control, **kwargs):
    time.sleep(0.25)
    return plain(self, args, state, control, **kwargs)
callbacks.RunLog.on_step_end = slow
from seqformers.cli import main
main()
"""


def _start(recipe, output, tmp_path, *words, prelude=""):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-c", prelude + SLOW, "pretrain", str(path), "--output", str(output), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path)}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def _wait_for(path, process):
    deadline = time.monotonic() + 200
    while not path.exists():
        if process.poll() is not None:
            pytest.fail(f"ended with {process.returncode} before {path.name}: {process.stderr.read()}")
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"{path} did not appear: {process.stderr.read()}")
        time.sleep(0.05)


def _steps(output):
    log = output / "seeds" / "0" / "training_log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines() if line]


def test_a_killed_run_resumes_from_its_last_checkpoint(pretrain_recipe, tmp_path):
    recipe = {**pretrain_recipe, "training": {**pretrain_recipe["training"], "max_steps": 14, "logging_steps": 1}}
    output = tmp_path / "run"
    process = _start(recipe, output, tmp_path)
    checkpoint = output / "seeds" / "0" / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    _wait_for(checkpoint, process)
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "metrics.json").exists()
    reached = _steps(output)[-1]["step"]
    assert 4 <= reached < 14
    # A kill while a checkpoint is written leaves a torn one, which must not be resumed from.
    torn = output / "seeds" / "0" / "checkpoints" / "checkpoint-99"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    with pytest.raises(FileExistsError, match=r"--overwrite .* --resume"):
        pretrain(recipe, output=output)
    pretrain(recipe, output=output, resume=True)
    entries = _steps(output)
    second = [entry["step"] for entry in entries if entry["session"] != entries[0]["session"] and "loss" in entry]
    assert second[0] == (reached - reached % 4) + 1  # save_steps is 4: one interval is lost, no more
    assert second[-1] == 14
    (result,) = json.loads((output / "metrics.json").read_text())["per_seed"]
    assert result["steps"] == 14
    assert not list(output.rglob("checkpoint-*"))


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(pretrain_recipe, tmp_path):
    recipe = {**pretrain_recipe, "training": {**pretrain_recipe["training"], "max_steps": 40, "save_steps": 100,
                                              "eval_steps": 100, "logging_steps": 1}}  # fmt: skip
    output = tmp_path / "run"
    process = _start(recipe, output, tmp_path)
    _wait_for(output / "seeds" / "0" / "training_log.jsonl", process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 130, errors
    assert "a checkpoint is saved" in errors and "--resume" in errors and "Traceback" not in errors
    checkpoint = last_whole_checkpoint(output / "seeds" / "0" / "checkpoints")
    reached = json.loads((checkpoint / "trainer_state.json").read_text())["global_step"]
    assert 0 < reached < 40
    pretrain({**recipe, "training": {**recipe["training"]}}, output=output, resume=True)
    assert json.loads((output / "metrics.json").read_text())["per_seed"][0]["steps"] == 40


def test_a_full_disk_ends_with_one_line_and_can_be_resumed(pretrain_recipe, tmp_path):
    """A limit on file size stands for the disk: weights do not fit, and the write fails half-way."""
    limit = "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))\n"
    process = _start(pretrain_recipe, tmp_path / "run", tmp_path, prelude=limit)
    _, errors = process.communicate(timeout=250)
    assert process.returncode == 1, errors
    assert "disk is full" in errors and "--resume" in errors and "Traceback" not in errors
    assert pretrain(pretrain_recipe, output=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "metrics.json").is_file()


@pytest.mark.parametrize("text", ["No space left on device (os error 28)", "PytorchStreamWriter failed writing file"])
def test_disk_errors_of_the_libraries_below_are_translated(tmp_path, text):
    with pytest.raises(OSError, match="disk is full"), clear_disk_errors(tmp_path):
        raise RuntimeError(text)


def test_other_errors_stay_as_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="something else"), clear_disk_errors(tmp_path):
        raise RuntimeError("something else")


def test_a_resumed_run_must_be_of_the_same_recipe(pretrain_recipe, tmp_path):
    (tmp_path / "run").mkdir()
    from seqformers.training.recipe import load_recipe

    (tmp_path / "run" / "recipe.yaml").write_text(load_recipe(pretrain_recipe).to_yaml())
    with pytest.raises(ValueError, match=r"another recipe \(different: .*training"):
        pretrain(pretrain_recipe, ["training.max_steps=9"], output=tmp_path / "run", resume=True)


def test_seeds_that_are_done_are_not_trained_again(finetune_recipe, tmp_path, monkeypatch):
    from seqformers.training import finetune

    recipe = {**finetune_recipe, "seeds": [0, 1], "training": {**finetune_recipe["training"], "max_steps": 2}}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(running, "write_run_folder", lambda *parts: (_ for _ in ()).throw(KeyboardInterrupt))
        finetune(recipe, output=tmp_path / "run")
    before = {seed: (tmp_path / "run" / "seeds" / seed / "metrics.json").stat().st_mtime_ns for seed in "01"}
    finetune(recipe, output=tmp_path / "run", resume=True)
    after = {seed: (tmp_path / "run" / "seeds" / seed / "metrics.json").stat().st_mtime_ns for seed in "01"}
    assert before == after
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["seeds"] == [0, 1]
