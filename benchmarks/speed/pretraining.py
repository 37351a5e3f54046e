"""Pretraining steps on reads of mixed length: ours, ours without each of its ways, and stock BERT with its collator.

A contender makes its own batches of the same reads (virBERT's law of lengths: 36 to 510 nt, half of them 510): stock
pads them in the order they come, ours sorts them by length. A step is forward, backward, clipping and AdamW. Counted
are the nucleotides of the reads, never padding; contenders alternate, and the median counts. The ceiling is a matrix
product of 2048 x 2048 measured in the same run; the work of ours is counted as it is done, attention with the squares
of the lengths.

    python -m benchmarks.speed.pretraining --output benchmarks/results/speed_pretraining.json
    python -m benchmarks.speed.pretraining --curves --output benchmarks/results/speed_pretraining_curves.json
    python -m benchmarks.speed.pretraining --shape base --reads 4 --batches 1    # the original's shape
    python -m benchmarks.speed.pretraining --device cuda --shape base --reads 128    # the same on a GPU
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling

from benchmarks._results import about
from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerTokenizer
from seqformers.datasets_scripts.phage.draws import LengthLaw
from seqformers.training.batches import LanguageModelBatches
from seqformers.training.collators import DataCollatorForKmerLanguageModeling
from seqformers.training.cpu_attention import use_fast_cpu_training

SHAPES = {
    "tiny": (32, 2, 2, 64),
    "small": (192, 3, 3, 768),
    "medium": (512, 8, 8, 2048),
    "base": (768, 12, 12, 3072),
}
STOCK = "stock BertForMaskedLM, stock collator"
OURS = "ours"


def shape(name: str) -> dict[str, int]:
    hidden, layers, heads, inner = SHAPES[name]
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "max_position_embeddings": 512,
    }


def reads(count: int, seed: int, law: LengthLaw | None = None, length: int | None = None) -> list[str]:
    rng = np.random.default_rng(seed)
    lengths = np.full(count, length) if law is None else law.draw(count, rng)
    letters = np.frombuffer(b"ACGT", np.uint8)
    return [letters[rng.integers(4, size=n)].tobytes().decode() for n in lengths]


class Contender:
    """A model, its optimizer and how it makes batches of reads."""

    def __init__(self, model: Any, collate: Callable[[list[str]], Any], *, device: str, half: bool, by_length: bool):
        self.model = model.to(device).train()
        self.collate, self.device, self.half, self.by_length = collate, device, half, by_length
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def epoch(self, texts: list[str], size: int) -> float:
        """Seconds of the steps over all `texts`, batches made within."""
        start = clock(self.device)
        order = sorted(texts, key=len) if self.by_length else texts
        for first in range(0, len(order), size):
            batch = {
                name: x.to(self.device, non_blocking=True)
                for name, x in self.collate(order[first : first + size]).items()
            }
            with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
                loss = self.model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        return clock(self.device) - start


def clock(device: str) -> float:
    """CPU time of the process, which other work on the machine does not lengthen; of a GPU the time that passes."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def ours(
    size: dict[str, int], device: str, *, k: int = 6, stride: int = 1, half: bool = True, by_length: bool = True,
    last_layer: bool = True, cpu_ways: bool = True, attention: str = "sdpa", compiled: bool = False,
) -> Contender:  # fmt: skip
    tokenizer = KmerTokenizer(k=k, stride=stride)
    torch.manual_seed(0)
    config = KmerBertConfig(
        k=k, stride=stride, **size, attention_probs_dropout_prob=0.0, masked_lm_logits="labelled",
        attn_implementation=attention,
    )  # fmt: skip
    model: Any = KmerBertForMaskedLM(config)
    if device == "cpu" and cpu_ways and half:
        use_fast_cpu_training(model)
    if not last_layer:
        model.config.output_hidden_states = True  # somebody may read the other positions
    batches = LanguageModelBatches(
        tokenizer, {"text": "s"}, DataCollatorForKmerLanguageModeling(tokenizer, seed=0), max_length=512,
        places=device != "cpu" and last_layer,
    )  # fmt: skip
    model = torch.compile(model, dynamic=True) if compiled else model
    return Contender(
        model, lambda texts: batches([{"s": text} for text in texts]), device=device, half=half, by_length=by_length
    )


def padded(model: Any, device: str, *, half: bool) -> Contender:
    """Any BERT over our ids with the stock collator, in the order of the reads."""
    tokenizer = KmerTokenizer(k=6)
    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)

    def collate(texts: list[str]) -> Any:
        return dict(mask([{"input_ids": ids} for ids in tokenizer(texts, max_length=512, truncation=True).input_ids]))

    return Contender(model, collate, device=device, half=half, by_length=False)


def stock(size: dict[str, int], device: str, *, half: bool) -> Contender:
    torch.manual_seed(0)
    return padded(BertForMaskedLM(BertConfig(vocab_size=4101, **size)), device, half=half)


def multimolecule(size: dict[str, int], device: str, folder: str, *, half: bool) -> Contender:
    sys.path.append(folder)
    from multimolecule import DnaBertConfig, DnaBertForMaskedLM

    torch.manual_seed(0)
    return padded(DnaBertForMaskedLM(DnaBertConfig(vocab_size=4101, **size)), device, half=half)


def contenders(arguments: argparse.Namespace, size: dict[str, int]) -> dict[str, Contender]:
    device = arguments.device
    found = {STOCK: stock(size, device, half=device != "cpu")}
    if device == "cpu":
        found["stock, bfloat16"] = stock(size, device, half=True)
    if arguments.multimolecule:
        found["multimolecule DnaBertForMaskedLM, stock collator"] = multimolecule(
            size, device, arguments.multimolecule, half=device != "cpu"
        )
    found[OURS] = ours(size, device)
    found["ours, last layer everywhere"] = ours(size, device, last_layer=False)
    if device == "cpu":
        found["ours, attention and dropout of torch"] = ours(size, device, cpu_ways=False)
        found["ours, stride 3"] = ours(size, device, stride=3)
    else:
        found["ours, compiled"] = ours(size, device, compiled=True)
    return found


def work(lengths: Sequence[int], size: dict[str, int]) -> float:
    """Floating-point operations of a step of ours on reads of these lengths: three times the forward pass.

    The last layer computes keys and values everywhere and the rest at the labelled 15 %; padding is not counted.
    """
    h, f = size["hidden_size"], size["intermediate_size"]
    tokens = np.maximum(np.asarray(lengths, float) - 5, 0) + 2
    labelled = 0.15 * (tokens - 2)
    layers = (size["num_hidden_layers"] - 1) * (2 * tokens * (4 * h * h + 2 * h * f) + 4 * tokens**2 * h)
    last = 4 * tokens * h * h + 2 * labelled * (2 * h * h + 2 * h * f) + 4 * labelled * tokens * h
    head = 2 * labelled * (h * h + 4101 * h)
    return 3 * float((layers + last + head).sum())


def ceiling(device: str) -> float:
    """FLOP/s of a bfloat16 product of two square matrices, the best of seven."""
    n = 2048 if device == "cpu" else 8192
    a = torch.randn(n, n, dtype=torch.bfloat16, device=device)
    best = float("inf")
    for _ in range(7):
        start = clock(device)
        a @ a
        best = min(best, clock(device) - start)
    return 2 * n**3 / best


def table(arguments: argparse.Namespace) -> dict[str, Any]:
    """All contenders on the same reads, alternating."""
    size = shape(arguments.shape)
    texts = reads(arguments.reads * arguments.batches, seed=1, law=LengthLaw())
    letters = sum(map(len, texts))
    found = contenders(arguments, size)
    seconds: dict[str, list[float]] = {name: [] for name in found}
    for contender in found.values():
        contender.epoch(texts[: max(2, arguments.reads // 4)], max(2, arguments.reads // 4))
    for _ in range(arguments.repeats):
        for name, contender in found.items():
            seconds[name].append(contender.epoch(texts, arguments.reads))
    peak = ceiling(arguments.device)
    rows = {
        name: {
            "nt_per_second": round(letters / statistics.median(times)),
            "reads_per_second": round(len(texts) / statistics.median(times), 1),
            "times_stock": round(statistics.median(seconds[STOCK]) / statistics.median(times), 2),
            "seconds": [round(value, 4) for value in times],
        }
        for name, times in seconds.items()
    }
    rows[OURS]["share_of_ceiling"] = round(
        work([len(text) for text in texts], size) / statistics.median(seconds[OURS]) / peak, 3
    )
    return {
        "model": size,
        "reads": len(texts),
        "batch": arguments.reads,
        "ceiling_tflops": round(peak / 1e12, 4),
        "rows": rows,
    }


def curves(arguments: argparse.Namespace) -> dict[str, Any]:
    """Ours over lengths (about as many letters each), over batch sizes and over sizes of the model."""
    size = shape(arguments.shape)
    peak = ceiling(arguments.device)
    contender = ours(size, arguments.device)

    def measure(texts: list[str], batch: int, contender: Contender = contender, of: dict[str, int] = size) -> Any:
        contender.epoch(texts[:batch], batch)
        seconds = statistics.median(contender.epoch(texts, batch) for _ in range(arguments.repeats))
        share = work([len(text) for text in texts], of) / seconds / peak
        return {"nt_per_second": round(sum(map(len, texts)) / seconds), "share_of_ceiling": round(share, 3)}

    lengths = {
        n: measure(reads(max(1, 16_000 // n), 1, length=n), max(1, 16_000 // n)) for n in (50, 100, 150, 250, 510)
    }
    batches = {n: measure(reads(64, 2, law=LengthLaw()), n) for n in (4, 8, 16, 32, 64)}
    models = {}
    for name in list(SHAPES)[: None if arguments.device == "cuda" else 3]:
        other = ours(shape(name), arguments.device)
        millions = round(sum(p.numel() for p in other.model.parameters()) / 1e6, 1)
        found = measure(reads(16, 3, law=LengthLaw()), 16, other, shape(name))
        models[name] = {"million_parameters": millions, **found}
    return {
        "model": size,
        "ceiling_tflops": round(peak / 1e12, 4),
        "over_length": lengths,
        "over_batch": batches,
        "over_model": models,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--shape", default="small", choices=list(SHAPES))
    parser.add_argument("--reads", type=int, default=32, help="reads a batch")
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--curves", action="store_true")
    parser.add_argument("--multimolecule", help="a folder where it is installed, for comparison")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        torch.set_num_threads(1)
    found = (curves if arguments.curves else table)(arguments)
    kind = torch.cuda.get_device_name() if arguments.device == "cuda" else f"1 CPU thread, {platform.machine()}"
    what = "training steps of a k-mer BERT on reads of 36 to 510 nt; nucleotides of reads a second"
    result = about(data="random reads of virBERT's lengths", seeds=[1]) | {
        "device": kind,
        "result": {"what": what, **found},
    }
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
