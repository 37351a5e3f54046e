"""Shared by all tests: no network but the loopback Hub, one thread, the folder of real data when it is there."""

from __future__ import annotations

import gc
import json
import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.hub.loopback import LoopbackHub

# The clients read these when they are imported, so they are set before anything else: the only Hub the tests know is
# the one in this process, and what they download goes into a folder of this run.
_HUB = LoopbackHub().start()
_HOME = tempfile.TemporaryDirectory(prefix="seqformers-tests-")
HUB_ENVIRONMENT = {
    "HF_ENDPOINT": _HUB.url,
    "HF_HOME": _HOME.name,
    "HF_TOKEN": _HUB.token,
    "HF_HUB_OFFLINE": "0",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
}
os.environ.update(HUB_ENVIRONMENT)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# How long an example takes depends on what else the machine does; it is no finding. A gate tries the same examples
# each time, so that it never fails by chance; a run by hand draws new ones.
settings.register_profile("any-machine", deadline=None)
settings.register_profile("gate", deadline=None, derandomize=True)
settings.load_profile("gate" if os.environ.get("CI") else "any-machine")

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = Path(__file__).resolve().parent / "golden"
ROOMS_ABOVE = ("datasets_scripts", "model_cards", "modeling", "tokenization")  # installed as parts of seqformers


def foreign_rooms(root: Path) -> dict[str, Path]:
    """Packages that are not imported from the tree at `root`, and where they are from.

    `seqformers` is found by the working directory, the rooms beside it by what was installed: run in another checkout
    than the installed one, code of two trees would be tested as one.
    """
    folders = {"seqformers": root / "seqformers"} | {f"seqformers.{room}": root / room for room in ROOMS_ABOVE}
    found = {}
    for package, folder in folders.items():
        spec = find_spec(package)
        place = Path(str(spec.origin)).resolve().parent if spec and spec.origin else None
        if place != folder.resolve():
            found[package] = place
    return found


def pytest_configure() -> None:
    """Refuse to test two trees as one."""
    if foreign := foreign_rooms(ROOT):
        listed = ", ".join(f"{package} from {place}" for package, place in foreign.items())
        raise pytest.UsageError(f"these are not of {ROOT}: {listed}. Run `pip install -e .` here, in its environment")


@pytest.fixture(scope="module", autouse=True)
def _modules_stay() -> None:
    """Spare the garbage collection at the end of each `Trainer.train` the search of all that has been imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    """The loopback Hub, emptied. A request it has no route for fails the test."""
    for forgotten in (_HUB.repositories, _HUB.large, _HUB.parts, _HUB.unknown, _HUB.log):
        forgotten.clear()
    yield _HUB
    assert not _HUB.unknown, f"the clients asked for routes the loopback Hub lacks: {_HUB.unknown}"


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


@pytest.fixture
def shards_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--engine ray` gives to a cluster is done in this process instead, two shards one after the other."""
    from seqformers import clusters

    def run(job: Any, folder: Path, suffix: str, *_: Any) -> tuple[list[Path], list[Any]]:
        parts = [folder / f"{number}-of-2{suffix}" for number in (1, 2)]
        return parts, [clusters._run_shard(job, part, f"{n}/2", Path.cwd()) for n, part in enumerate(parts, 1)]

    monkeypatch.setattr(clusters, "_on_cluster", run)
    monkeypatch.setattr(clusters, "_need_ray", lambda: None)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of two workers on this machine, which load functions of the tests too."""
    ray = pytest.importorskip("ray")
    from seqformers.clusters import start_cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        start_cluster(num_cpus=2, object_store_memory=100_000_000)
        yield ray
        ray.shutdown()


def golden_cases(name: str) -> list[dict[str, Any]]:
    """The reference cases of `tests/golden/<name>.json`."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["cases"]
