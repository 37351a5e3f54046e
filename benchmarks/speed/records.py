"""Time and memory of `predict` over 10^3 to 10^6 records: the first is to be linear, the second constant.

The model is tiny and the records are short, so that what counts is what surrounds the model. Each run is a process of
its own, whose largest memory is measured.

    python -m benchmarks.speed.records [--most 1000000]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks._results import write_result
from seqformers import KmerBertConfig, KmerBertForSequenceClassification, KmerTokenizer
from seqformers.hub.repository import write_model_repository
from seqformers.inference.predict import predict

LETTERS = 40


def write_records(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    bases = np.frombuffer(b"ACGT", np.uint8)
    with path.open("w") as file:
        for first in range(0, count, 10_000):
            rows = bases[rng.integers(0, 4, (min(10_000, count - first), LETTERS))]
            file.writelines(f">r{first + i}\n{row.tobytes().decode()}\n" for i, row in enumerate(rows))


def measure(run: Path, fasta: Path, output: Path, pipe: Any) -> None:
    predict(run, fasta, output.with_suffix(".warm.tsv"), progress=False) if fasta.stat().st_size < 1e6 else None
    start = time.perf_counter()
    predict(run, fasta, output, progress=False)
    pipe.send((time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=1_000_000)
    arguments = parser.parse_args()
    counts = [10**power for power in range(3, 8) if 10**power <= arguments.most]
    points = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        config = KmerBertConfig(
            k=3, hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=32,
            max_position_embeddings=64, num_labels=2,
        )  # fmt: skip
        model = KmerBertForSequenceClassification(config).eval()
        run = write_model_repository(folder / "run", model, tokenizer=KmerTokenizer(k=3, model_max_length=64))
        context = multiprocessing.get_context("spawn")
        for count in counts:
            fasta = folder / f"{count}.fasta"
            write_records(fasta, count)
            mine, theirs = context.Pipe()
            child = context.Process(target=measure, args=(run, fasta, folder / f"{count}.tsv", theirs))
            child.start()
            seconds, megabytes = mine.recv()
            child.join()
            points.append(
                {"records": count, "seconds": round(seconds, 2), "records_per_s": round(count / seconds),
                 "largest_memory_mb": round(megabytes)}
            )  # fmt: skip
            print(json.dumps(points[-1]), flush=True)
    result = {"what": f"predict over records of {LETTERS} nt by a tiny model", "points": points}
    write_result("speed_records", result, data=f"random records of {LETTERS} nt", seeds=[0])


if __name__ == "__main__":
    main()
