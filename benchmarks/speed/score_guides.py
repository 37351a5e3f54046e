"""Speed of `score-guides`: contexts scored and bases scanned a second, beside plain ways of doing the same.

    python -m benchmarks.speed.score_guides

Contenders for scoring: the published layer list in NumPy with a loop over letters for the one-hot, as the original
script has it, and the network without the table of words, in batches that fit the cache. Contender for scanning: a
regular expression a strand. All on one thread. The whole command is timed on a FASTA file too.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._results import time_call, write_result
from seqformers import DeepCpf1Config, DeepCpf1Model, DeepCpf1Processor
from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.guides.score import score_guides
from seqformers.guides.scorer import GuideScorer
from seqformers.guides.sites import find_sites
from seqformers.hub.load import packaged_model


def random_bases(rng: np.random.Generator, count: int) -> str:
    return np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, count)].tobytes().decode()


def plain_numpy(model: DeepCpf1Model, contexts: list[str]) -> np.ndarray:
    """One network of the published shape, one context after another into a one-hot array, then matrix products."""
    one_hot = np.zeros((len(contexts), 34, 4))
    for row, context in enumerate(contexts):
        for position, letter in enumerate(context):
            place = "ACGT".find(letter.upper())
            if place >= 0:
                one_hot[row, position, place] = 1
    kernel, bias = model.convolution.weight.detach().double().numpy(), model.convolution.bias.detach().numpy()
    hidden = sum(one_hot[:, k : k + 30] @ kernel[:, :, k].T for k in range(5)) + bias
    hidden = np.maximum(hidden, 0).reshape(len(contexts), 15, 2, -1).mean(2).reshape(len(contexts), -1)
    for layer in model.dense:
        hidden = np.maximum(hidden @ layer.weight.detach().double().numpy().T + layer.bias.detach().numpy(), 0)
    out = model.sequence_output
    return (hidden @ out.weight.detach().double().numpy().T + out.bias.detach().numpy())[:, 0]


def scoring(contexts: list[str]) -> dict[str, Any]:
    codes = DeepCpf1Processor().encode(contexts)
    models = {
        "published shape": DeepCpf1Model(DeepCpf1Config()).eval(),
        "model in the package": DeepCpf1Model.from_pretrained(packaged_model("deepcpf1")),
    }
    rows: dict[str, Any] = {}
    for name, model in models.items():
        scorer, whole = (GuideScorer(model, device="cpu", batch_size=size) for size in (1024, 256))
        whole.known_letters = whole.whole_network
        for way, by in ((name, scorer), (f"{name}, no table", whole)):
            rows[way] = _rate(time_call(lambda s=by: s.score(codes), repeats=9), len(contexts))
    few = contexts[:2000]
    reference = plain_numpy(models["published shape"], few)
    found, _ = GuideScorer(models["published shape"], device="cpu").score(codes[:2000])
    assert np.allclose(found, reference, atol=1e-3)
    rows["plain NumPy, letter by letter, published shape"] = _rate(
        time_call(lambda: plain_numpy(models["published shape"], few), repeats=3, warm_up=1), len(few)
    )
    slow = rows["plain NumPy, letter by letter, published shape"]["contexts_per_cpu_s"]
    for row in rows.values():
        row["times_plain"] = round(row["contexts_per_cpu_s"] / slow, 1)
    return rows


def _rate(seconds: dict[str, float], count: int) -> dict[str, float]:
    return {
        "contexts_per_s": round(count / seconds["median_s"]),
        "best_contexts_per_s": round(count / seconds["min_s"]),
        "contexts_per_cpu_s": round(count / seconds["median_cpu_s"]),
    }


def with_expressions(sequence: str) -> int:
    """Both strands by look-ahead, so that overlapping sites are found."""
    return sum(1 for _ in re.finditer("(?=TTT[ACG])", sequence)) + sum(
        1 for _ in re.finditer("(?=[CGT]AAA)", sequence)
    )


def scanning(path: Path, sequence: str) -> dict[str, Any]:
    assert len(find_sites(sequence)) == with_expressions(sequence)
    calls = {
        "find_sites, both strands": (lambda: find_sites(sequence), 7),
        "find_sites and reading the FASTA file": (lambda: [find_sites(r.sequence) for r in read_fasta(path)], 7),
        "regular expressions, both strands": (lambda: with_expressions(sequence), 3),
    }
    rows: dict[str, Any] = {}
    for name, (call, repeats) in calls.items():
        seconds = time_call(call, repeats=repeats, warm_up=1)
        rows[name] = {
            "mb_per_s": round(len(sequence) / 1e6 / seconds["median_s"], 1),
            "best_mb_per_s": round(len(sequence) / 1e6 / seconds["min_s"], 1),
            "mb_per_cpu_s": round(len(sequence) / 1e6 / seconds["median_cpu_s"], 1),
        }
    slow = rows["regular expressions, both strands"]["mb_per_cpu_s"]
    for row in rows.values():
        row["times_expressions"] = round(row["mb_per_cpu_s"] / slow, 1)
    return rows


def whole_command(path: Path, bases: int) -> dict[str, float]:
    scorer = DeepCpf1Model.from_pretrained(packaged_model("deepcpf1"))
    wall, cpu = time.perf_counter(), time.process_time()
    report = score_guides(path, path.with_suffix(".tsv"), model=scorer, overwrite=True)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "bases": bases, "guides": report.rows, "seconds": round(wall, 2), "cpu_seconds": round(cpu, 2),
        "guides_per_s": round(report.rows / wall), "guides_per_cpu_s": round(report.rows / cpu),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contexts", type=int, default=65_536)
    parser.add_argument("--megabases", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    letters = random_bases(rng, arguments.contexts * 34)
    contexts = [letters[start : start + 34] for start in range(0, len(letters), 34)]
    sequence = random_bases(rng, arguments.megabases * 1_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path, short = Path(folder) / "long.fasta", Path(folder) / "short.fasta"
        lines = "\n".join(sequence[start : start + 80] for start in range(0, len(sequence), 80))
        path.write_text(f">chromosome\n{lines}\n")
        short.write_text(f">chromosome\n{sequence[:2_000_000]}\n")
        result = {
            "scoring": scoring(contexts),
            "scanning": scanning(path, sequence),
            "whole command, FASTA to TSV": whole_command(short, 2_000_000),
        }
    for part in ("scoring", "scanning"):
        for name, row in result[part].items():
            print(f"{name:60s} {row}")
    print(result["whole command, FASTA to TSV"])
    data = f"{arguments.contexts:,} random contexts; {arguments.megabases} Mb of random bases"
    print(write_result("speed_score_guides", result, data=data, seeds=[0]))


if __name__ == "__main__":
    main()
