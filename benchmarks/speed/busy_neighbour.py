"""Training beside a process that keeps one core busy: what is left of its speed.

Each measurement is a process of its own on all cores: with threads that wait asleep, as the command `seqformers`
starts them, and with torch's default, which waits by spinning. On n cores a neighbour is owed 1/(n+1) of the machine,
so n/(n+1) of the speed is a fair share. Rounds alternate, wall time counts, and the median is kept.

    python -m benchmarks.speed.busy_neighbour
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time

from benchmarks._results import write_result

WAYS = {
    "threads asleep, as the command": {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"},
    "torch's default": {},
}


def train(batches: int) -> None:
    """Print the nucleotides a second of training steps on all cores, and how many those are."""
    import torch

    from benchmarks.speed.pretraining import ours, reads, shape
    from seqformers.datasets_scripts.phage.draws import LengthLaw

    contender = ours(shape("small"), "cpu")
    texts = reads(16 * batches, seed=1, law=LengthLaw())
    contender.epoch(texts[:16], 16)
    start = time.perf_counter()
    contender.epoch(texts, 16)
    seconds = time.perf_counter() - start
    print(json.dumps({"nt_per_s": sum(map(len, texts)) / seconds, "cores": torch.get_num_threads()}))


def spin() -> None:
    while True:
        pass


def measure(way: dict[str, str], neighbours: int, batches: int) -> dict[str, float]:
    """One process, beside so many that spin."""
    spinning = [multiprocessing.get_context("spawn").Process(target=spin, daemon=True) for _ in range(neighbours)]
    for process in spinning:
        process.start()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "KMP_"))} | way
    try:
        command = [sys.executable, "-m", "benchmarks.speed.busy_neighbour", "--train", str(batches)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        for process in spinning:
            process.kill()
            process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=4, help="of 16 reads each")
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train is not None:
        train(arguments.train)
        return
    found: dict[tuple[str, int], list[dict[str, float]]] = {(way, count): [] for way in WAYS for count in (0, 1)}
    for _ in range(arguments.rounds):
        for (way, neighbours), runs in found.items():
            runs.append(measure(WAYS[way], neighbours, arguments.batches))
            print(way, neighbours, json.dumps(runs[-1]), flush=True)
    cores = int(found[next(iter(WAYS)), 0][0]["cores"])
    rate = {key: statistics.median(run["nt_per_s"] for run in runs) for key, runs in found.items()}
    rows = {
        way: {
            "alone_nt_per_s": round(rate[way, 0]),
            "beside_nt_per_s": round(rate[way, 1]),
            "share_kept": round(rate[way, 1] / rate[way, 0], 2),
            "all_beside_nt_per_s": [round(run["nt_per_s"]) for run in found[way, 1]],
        }
        for way in WAYS
    }
    result = {
        "what": "training steps of a k-mer BERT (3 x 192) on all cores, alone and beside one busy process",
        "cores": cores,
        "fair_share": round(cores / (cores + 1), 2),
        "rows": rows,
    }
    print(json.dumps(result, indent=1))
    write_result("speed_busy_neighbour", result, data="random reads of virBERT's lengths", seeds=[1])


if __name__ == "__main__":
    main()
