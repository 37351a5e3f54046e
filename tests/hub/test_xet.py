"""The Xet transport, by the client's own store: chunks go up and come back, and the LFS routes are never asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# The store locks its folder, so the Hub and its client share this interpreter.
_BOTH = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.hub.loopback import LoopbackHub
from tests.hub.xet import XetStore
folder = Path(sys.argv[2])
hub = LoopbackHub(xet=XetStore(folder / "cas")).start()
os.environ.update(HF_ENDPOINT=hub.url, HF_TOKEN=hub.token, HF_HOME=str(folder / "home"), HF_HUB_DISABLE_XET="0")
import numpy as np
from huggingface_hub import hf_hub_download
from safetensors.numpy import load_file, save_file
from seqformers.hub.download import fetch_repository
from seqformers.hub.push import push_to_hub
run = folder / "run"
run.mkdir()
rng = np.random.default_rng(0)
weights = {f"layer{i}": rng.standard_normal((256, 256)).astype(np.float32) for i in range(8)}
for extra in (0, 1):  # the second push changes one layer of eight
    weights["layer0"] += extra
    save_file(weights, run / "model.safetensors")
    (run / "config.json").write_text("{}")
    (run / "README.md").write_text("---\\nlicense: mit\\n---\\n")
    pushed = push_to_hub(run, "loopback/xet")
    stored = sum(path.stat().st_size for path in (folder / "cas").rglob("xorbs/xorbs/*"))
    fetched = load_file(fetch_repository("loopback/xet") / "model.safetensors")
    print(json.dumps({
        "same": all(np.array_equal(fetched[name], weights[name]) for name in weights),
        "stored": stored,
        "size": (run / "model.safetensors").stat().st_size,
        "tag": pushed.tag,
        "lfs": [path for _, path in hub.log if "lfs" in path],
        "plain_downloads": sum(method == "GET" and path.endswith(".safetensors") for method, path in hub.log),
        "tokens": sorted({path.split("/")[-2] for _, path in hub.log if "xet-" in path}),
        "unknown": hub.unknown,
    }))
weights["layer1"] += 1
save_file(weights, run / "model.safetensors")
for status in (404, 500):
    with hub.fault("GET", "xet-write-token", status=status):
        try:
            push_to_hub(run, "loopback/xet")
        except OSError as error:
            print(json.dumps({"error": str(error)}))
"""


def test_push_and_fetch_by_xet(tmp_path: Path):
    pytest.importorskip("hf_xet", reason="huggingface_hub was installed without Xet")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    # What is refused is asked for again, minutes long by default; a few tries show the same.
    environment |= {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2", "HF_XET_CLIENT_RETRY_BASE_DELAY": "100ms"}
    environment |= {"HF_XET_CLIENT_RETRY_MAX_DURATION": "5s", "HF_XET_TELEMETRY_ENABLED": "false"}
    done = subprocess.run(
        [sys.executable, "-c", _BOTH, str(ROOT), str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second, *refused = map(json.loads, done.stdout.splitlines())
    for state, tag in ((first, "v1"), (second, "v2")):
        assert state["same"] and state["tag"] == tag and not state["unknown"]
        assert not state["lfs"] and not state["plain_downloads"]
        assert state["tokens"] == ["xet-read-token", "xet-write-token"]
    assert second["stored"] - first["stored"] < first["size"] / 2  # chunks that were there are not sent again
    for answer, status in zip(refused, (404, 500), strict=True):
        assert f"answered {status} for loopback/xet" in answer["error"] and "no connection" not in answer["error"]
