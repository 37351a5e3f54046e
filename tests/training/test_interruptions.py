"""Kills, Ctrl-C and full disks: at most one checkpoint interval is lost, and the message says how to go on."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from seqformers.files import Output
from seqformers.training import callbacks, finetune, pretrain, running
from seqformers.training.callbacks import clear_disk_errors
from seqformers.training.fitting import last_whole_checkpoint
from seqformers.training.recipe import load_recipe

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


def _partial(output):
    return output.with_name(output.name + ".partial")


def _steps(output):
    log = output / "seeds" / "0" / "training_log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines() if line]


def test_a_killed_run_resumes_from_its_last_checkpoint(pretrain_recipe, tmp_path):
    recipe = {**pretrain_recipe, "training": {**pretrain_recipe["training"], "max_steps": 14, "logging_steps": 1}}
    output = tmp_path / "run"
    process = _start(recipe, output, tmp_path)
    partial = _partial(output)
    checkpoint = partial / "seeds" / "0" / "checkpoints" / "checkpoint-4" / "trainer_state.json"
    _wait_for(checkpoint, process)
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not output.exists()
    reached = _steps(partial)[-1]["step"]
    assert 4 <= reached < 14
    # A kill while a checkpoint is written leaves a torn one, which must not be resumed from.
    torn = partial / "seeds" / "0" / "checkpoints" / "checkpoint-99"
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half")
    with pytest.raises(FileExistsError, match=r"interrupted run; pass --resume .* --overwrite"):
        pretrain(recipe, output=output)
    with pytest.raises(ValueError, match=r"other settings \(training.max_steps: then 14, now 15\)"):
        pretrain(recipe, ["training.max_steps=15"], output=output, resume=True)
    (partial / "recipe.yaml").write_text("")  # a full disk may leave it torn
    pretrain(recipe, output=output, resume=True)
    assert load_recipe(output / "recipe.yaml").training["max_steps"] == 14
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
    _wait_for(_partial(output) / "seeds" / "0" / "training_log.jsonl", process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 130, errors
    assert "a checkpoint is saved" in errors and "--resume" in errors and "Traceback" not in errors
    checkpoint = last_whole_checkpoint(_partial(output) / "seeds" / "0" / "checkpoints")
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


def test_seeds_that_are_done_are_not_trained_again(finetune_recipe, tmp_path, monkeypatch):

    recipe = {**finetune_recipe, "seeds": [0, 1], "training": {**finetune_recipe["training"], "max_steps": 2}}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(running, "write_run_folder", lambda *parts: (_ for _ in ()).throw(KeyboardInterrupt))
        finetune(recipe, output=tmp_path / "run")
    before = {seed: (tmp_path / "run.partial" / "seeds" / seed / "metrics.json").stat().st_mtime_ns for seed in "01"}
    finetune(recipe, output=tmp_path / "run", resume=True)
    after = {seed: (tmp_path / "run" / "seeds" / seed / "metrics.json").stat().st_mtime_ns for seed in "01"}
    assert before == after
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["seeds"] == [0, 1]


def test_a_resume_is_of_the_same_data_and_source(pretrain_recipe, finetune_recipe, reads, tmp_path, monkeypatch):
    data = tmp_path / "data"
    shutil.copytree(reads, data)
    source = pretrain(pretrain_recipe, ["training.max_steps=1"], output=tmp_path / "pt")
    recipe = {**finetune_recipe, "model": {"from": str(source)}, "tokenizer": {}, "data": {"path": str(data)}}
    recipe["training"] = {**recipe["training"], "max_steps": 1}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(running, "write_run_folder", lambda *parts: (_ for _ in ()).throw(KeyboardInterrupt))
        finetune(recipe, output=tmp_path / "run")
    weights = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(ValueError, match="other settings \\(model: then"):
        finetune(recipe, output=tmp_path / "run", resume=True)
    (source / "model.safetensors").write_bytes(weights)
    train = data / "train-00000-of-00001.parquet"
    rows = train.read_bytes()
    shutil.copy(data / "test-00000-of-00001.parquet", train)
    with pytest.raises(ValueError, match="other settings \\(data: then"):
        finetune(recipe, output=tmp_path / "run", resume=True)
    train.write_bytes(rows)
    assert finetune(recipe, output=tmp_path / "run", resume=True) == tmp_path / "run"
    before = (tmp_path / "run" / "metrics.json").stat().st_mtime_ns
    finetune(recipe, output=tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "metrics.json").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"was written with other settings .*seeds: then"):
        finetune(recipe, ["seeds=[7]"], output=tmp_path / "run", resume=True)


def test_a_folder_that_is_no_run_is_never_touched(finetune_recipe, tmp_path):
    mine = tmp_path / "proj"
    (mine / "work" / "checkpoints").mkdir(parents=True)
    (mine / "work" / "checkpoints" / "best.pt").write_bytes(b"years")
    for options in ({"resume": True}, {"overwrite": True}, {}):
        with pytest.raises((ValueError, FileExistsError)):
            finetune(finetune_recipe, output=mine, **options)
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "thesis.tex").write_text("years")
    for options in ({"resume": True}, {"overwrite": True}, {}):
        with pytest.raises((ValueError, FileExistsError)):
            finetune(finetune_recipe, output=tmp_path / "run", **options)
    assert (mine / "work" / "checkpoints" / "best.pt").read_bytes() == b"years"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["proj", "run.partial"]
    assert (tmp_path / "run.partial" / "thesis.tex").read_text() == "years"


def test_an_older_run_stays_until_the_new_one_is_whole(finetune_recipe, tmp_path):
    recipe = {**finetune_recipe, "training": {**finetune_recipe["training"], "max_steps": 1}}
    run = finetune(recipe, output=tmp_path / "run")
    before = (run / "model.safetensors").read_bytes()
    with pytest.raises(FileNotFoundError):
        finetune(recipe, ["data.path=/nowhere"], output=run, overwrite=True)
    with pytest.raises(ValueError, match=r"the output .* the input"):
        finetune(recipe, [f"model.from={run}"], output=run, overwrite=True)
    assert (run / "model.safetensors").read_bytes() == before
    (run / "my-notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"my-notes\.txt"):
        finetune(recipe, output=run, overwrite=True)
    (run / "my-notes.txt").unlink()
    finetune(recipe, ["seeds=[1]"], output=run, overwrite=True)
    assert (run / "model.safetensors").read_bytes() != before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


def test_two_processes_on_one_output_are_refused(finetune_recipe, tmp_path):
    with (
        Output(tmp_path / "run", "finetune", folder=True, settings={}),
        pytest.raises(OSError, match="another process is writing"),
    ):
        finetune(finetune_recipe, output=tmp_path / "run")


def test_kills_at_random_moments_leave_the_same_bytes(finetune_recipe, tmp_path):
    """Weights, configuration and predictions of a run that was killed again and again are those of a quiet one."""
    recipe = {**finetune_recipe, "seeds": [0, 1], "metrics": ["mcc"], "baselines": []}
    recipe["training"] = {**recipe["training"], "save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps",
                          "eval_steps": 2, "max_steps": 8, "num_train_epochs": 1}  # fmt: skip
    quiet, output = finetune(recipe, output=tmp_path / "quiet"), tmp_path / "killed"
    rng, context = random.Random(0), multiprocessing.get_context("fork")
    for _ in range(3):
        process = context.Process(target=_finetune_slowly, args=(recipe, output))
        process.start()
        process.join(rng.uniform(0.3, 4.0))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    finetune(recipe, output=output, resume=True)
    for name in ("model.safetensors", "config.json", "seeds/0/predictions-test.parquet",
                 "seeds/1/predictions-test.parquet"):  # fmt: skip
        assert (output / name).read_bytes() == (quiet / name).read_bytes(), name
    files = [{p.relative_to(run).as_posix() for p in run.rglob("*")} for run in (quiet, output)]
    assert files[0] == files[1]


def _finetune_slowly(recipe, output):
    torch.set_num_threads(1)  # the pool of the parent does not survive a fork
    plain = callbacks.RunLog.on_step_end
    callbacks.RunLog.on_step_end = lambda *a, **k: time.sleep(0.2) or plain(*a, **k)
    finetune(recipe, output=output, resume=True)


def test_two_processes_of_one_launch_share_one_folder(finetune_recipe, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**finetune_recipe, "baselines": {"names": []}}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    command += ["seqformers.cli", "finetune", str(path), "training.max_steps=2", "--output", str(tmp_path / "run")]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(tmp_path / "c"),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "run" / "metrics.json").read_text())["per_seed"]
    assert result["effective_batch_size"] == 32 and result["steps"] == 2
    assert done.stdout.count("run folder") == 1 and not (tmp_path / "run.partial").exists()
