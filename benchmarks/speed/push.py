"""What a push sends and how long it takes: files, bytes and seconds, against the Hub of the tests on the loopback.

The transport is LFS; the network costs nothing here, so the seconds are those of checking, hashing, sending and
comparing. The second push finds everything there; the third changes the card only.

    python -m benchmarks.speed.push
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._results import write_result
from tests.hub.loopback import LoopbackHub


def main() -> None:
    with LoopbackHub() as hub, tempfile.TemporaryDirectory() as scratch:
        # The clients read these when they are imported.
        os.environ |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token, "HF_HOME": f"{scratch}/home"}
        os.environ |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        result = {name: measure(hub, name, make(Path(scratch) / name)) for name, make in REPOSITORIES.items()}
    path = write_result("speed_push", result, data="random weights of the default sizes, packaged models")
    print(path.read_text(encoding="utf-8"))


def dnabert(folder: Path) -> Path:
    """A 6-mer BERT of the original's size with the code of every head; no portable form."""
    from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerTokenizer
    from seqformers.hub.cards import render_model_card
    from seqformers.hub.repository import write_model_repository

    model = KmerBertForMaskedLM(KmerBertConfig(k=6))
    card = render_model_card(
        "kmer_bert", {"name": "6-mer BERT", "license": "apache-2.0", "summary": "Random weights."}
    )
    write_model_repository(folder, model, card=card, tokenizer=KmerTokenizer(k=6))
    return folder


def packaged(family: str, folder: Path) -> Path:
    """A copy of a model that comes with the package."""
    from seqformers.hub.load import packaged_model

    return Path(shutil.copytree(packaged_model(family), folder))


REPOSITORIES: dict[str, Callable[[Path], Path]] = {
    "targetnet": partial(packaged, "targetnet"),
    "deepcpf1": partial(packaged, "deepcpf1"),
    "dnabert": dnabert,
}


def measure(hub: LoopbackHub, name: str, folder: Path, repeats: int = 3) -> dict[str, Any]:
    """Push to fresh repositories, push again, push a changed card, fetch and check; medians of seconds."""
    from seqformers.hub.download import fetch_repository
    from seqformers.hub.push import push_to_hub

    seconds: dict[str, list[float]] = {"first": [], "nothing changed": [], "card changed": [], "fetch and check": []}
    card = folder / "README.md"
    for repeat in range(repeats):
        repo_id = f"loopback/{name}-{repeat}"
        hub.large.clear()  # or the second repository would find the weights of the first
        for kind in ("first", "nothing changed", "card changed"):
            if kind == "card changed":
                card.write_text(card.read_text(encoding="utf-8") + f"\nPush {repeat}.\n", encoding="utf-8")
            start = time.perf_counter()
            pushed = push_to_hub(folder, repo_id)
            seconds[kind].append(time.perf_counter() - start)
            assert pushed.changed == (kind != "nothing changed")
        start = time.perf_counter()
        fetch_repository(repo_id)
        seconds["fetch and check"].append(time.perf_counter() - start)
        del hub.repositories["model", repo_id]
    sizes = {file.path: file.size for file in pushed.plan.files}
    return {
        "files": len(sizes),
        "bytes": sum(sizes.values()),
        "bytes_of_weights": sum(size for path, size in sizes.items() if path.endswith(".safetensors")),
        "seconds": {kind: round(statistics.median(times), 3) for kind, times in seconds.items()},
    }


if __name__ == "__main__":
    main()
