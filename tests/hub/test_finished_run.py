"""A run of several seeds goes from training to the Hub and to a stranger, who may load the other seeds as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seqformers.hub.push import push_to_hub
from seqformers.training import finetune
from tests.hub.forks import Forks
from tests.hub.loopback import LoopbackHub
from tests.hub.store import card_errors
from tests.training.conftest import finetune_recipe, reads  # noqa: F401

_STRANGER = """
import json, sys
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
repo = "loopback/run"
batch = AutoTokenizer.from_pretrained(repo, trust_remote_code=True)(["ACGTTGCAACGTGACG"], return_tensors="pt")
found = {}
for folder in sys.argv[1:]:
    model = AutoModelForSequenceClassification.from_pretrained(repo, subfolder=folder, trust_remote_code=True).eval()
    with torch.no_grad():
        found[folder] = model(**batch).logits[0].tolist()
print(json.dumps(found))
"""


def test_every_seed_of_a_run_reaches_a_stranger(
    hub: LoopbackHub,
    forks: Forks,
    finetune_recipe: dict[str, Any],  # noqa: F811
    tmp_path: Path,
    recwarn: pytest.WarningsRecorder,
):
    finetune_recipe["seeds"] = [0, 1]
    del finetune_recipe["model"]["config"]["classifier_pooling"]  # so that there is a portable form
    run = finetune(finetune_recipe, output=tmp_path / "run")
    other = next(folder.parent for folder in run.glob("seeds/*/model.safetensors")).relative_to(run).as_posix()
    pushed = push_to_hub(run, "loopback/run")
    assert not any("data file" in str(warning.message) for warning in recwarn)
    files = hub.files("loopback/run")
    assert f"{other}/model.safetensors" in files and "portable/config.json" in files
    assert not any(path.endswith((".bin", ".pt", ".partial")) for path in files)
    assert not card_errors(files["README.md"].decode(), "model")
    assert pushed.tag == "v1" and not push_to_hub(run, "loopback/run").changed

    (tmp_path / "stranger.py").write_text(_STRANGER)
    done = forks.run(tmp_path / "stranger.py", "", other, folder=tmp_path)
    assert done.code == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found[""] != found[other]
