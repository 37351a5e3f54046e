"""How long until training starts on many nucleotides, and in how much memory: 1.5 Gnt of made-up genomes by default.

The genomes are written as `seqformers build genomes` writes them. A process of its own then pretrains three steps on
fresh reads: seconds from its start to its first step, and its largest resident memory.

    python -m benchmarks.speed.genome_start --output benchmarks/results/speed_genome_start.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from benchmarks._results import about
from seqformers.datasets_scripts.common.two_bit import write_two_bit
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.reads import ReadOptions, ReadSampler

_RECORD = 5_000_000
_CHILD = """
import json, resource, sys, time
from transformers import TrainerCallback
from seqformers.training.recipe import load_recipe
from seqformers.training.running import train
steps = []
class Clock(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        steps.append(time.time())
shape = dict(hidden_size=192, num_hidden_layers=3, num_attention_heads=3, intermediate_size=768)
reads = dict(length=dict(lower=36, upper=510, bias=0.5), per_epoch=3_000_000, validation=64, test=64)
recipe = dict(task="pretrain", model=dict(type="kmer_bert", config=shape), tokenizer=dict(type="KmerTokenizer", k=6),
              data=dict(path=sys.argv[1], reads=reads),
              training=dict(per_device_train_batch_size=8, max_steps=3, eval_strategy="no", use_cpu=True))
train(load_recipe(recipe), sys.argv[2], callbacks=[Clock()])
print(json.dumps([steps[0] - float(sys.argv[3]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


def write_genomes(folder: Path, letters: int) -> None:
    """Made-up genomes of two classes in 100 groups, in the form of a build."""
    rng = np.random.default_rng(0)
    block = np.frombuffer(b"ACGT", np.uint8)[rng.integers(4, size=_RECORD)]
    count = max(4, letters // _RECORD)
    folder.mkdir()
    starts = write_two_bit((np.roll(block, 997 * i) for i in range(count)), folder)
    number = np.arange(count)
    features = datasets.Features(
        {
            "genome_id": datasets.Value("string"),
            "group": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["host", "phage"]),
            **{name: datasets.Value("int64") for name in ("start", "length", "unknown")},
        }
    )
    for split, chosen in (("train", number[2:]), ("validation", number[:2])):
        columns = {
            "genome_id": [f"g{i}" for i in chosen],
            "group": [f"group{i % 100}" for i in chosen],
            "label": chosen % 2,
            "start": starts[chosen],
            "length": np.full(len(chosen), _RECORD),
            "unknown": np.zeros(len(chosen), np.int64),
        }
        path = folder / "genomes" / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(exist_ok=True)
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)


def drawing(folder: Path) -> dict[str, Any]:
    """Reads of 150 nt a second, in batches of 256, over the whole file."""
    sampler = ReadSampler(GenomeArrays.open(folder, "train"), ReadOptions(length=150))
    sampler.draw(np.arange(256))
    start, batches = time.process_time(), 100
    for number in range(batches):
        sampler.draw(np.arange(256) + 256 * number)
    return {"reads_per_second": round(256 * batches / (time.process_time() - start))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--letters", type=float, default=1.5e9)
    parser.add_argument("--work", type=Path, help="where there is room for the letters; default: the temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.work) as scratch:
        folder = Path(scratch) / "genomes"
        began = time.perf_counter()
        write_genomes(folder, int(arguments.letters))
        written = time.perf_counter() - began
        words = [sys.executable, "-c", _CHILD, str(folder), str(Path(scratch) / "run"), str(time.time())]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        seconds, memory = json.loads(done.stdout.strip().splitlines()[-1])
        found = {
            "letters": int(arguments.letters),
            "seconds_to_write": round(written, 1),
            "seconds_to_first_step": round(seconds, 1),
            "largest_memory_gb": round(memory / 1e9, 2),
            **drawing(folder),
        }
    what = "start of pretraining on made-up genomes at two bits a letter, a process of its own"
    result = about(data="made-up genomes", seeds=[0]) | {"result": {"what": what, **found}}
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
