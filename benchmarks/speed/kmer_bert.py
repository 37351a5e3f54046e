"""Training speed of `KmerBertForMaskedLM` on one CPU thread, beside stock `BertForMaskedLM` in the same run.

One step is forward, backward and AdamW on a batch of random 6-mers of which 15 % carry a label. Variants: attention
implementation, attention dropout, autocast to bfloat16 (fast on CPUs with AVX-512 BF16 or AMX, slow elsewhere).

    python -m benchmarks.speed.kmer_bert --output benchmarks/results/speed_kmer_bert.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForMaskedLM

from benchmarks._results import about
from seqformers import KmerBertConfig, KmerBertForMaskedLM

SHAPE = {
    "hidden_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "max_position_embeddings": 512,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "stock BertForMaskedLM, sdpa": {"stock": True, "attention": "sdpa", "attention_dropout": 0.1},
    "stock BertForMaskedLM, sdpa, no attention dropout": {
        "stock": True,
        "attention": "sdpa",
        "attention_dropout": 0.0,
    },
    "eager": {"attention": "eager", "attention_dropout": 0.1},
    "sdpa": {"attention": "sdpa", "attention_dropout": 0.1},
    "eager, no attention dropout": {"attention": "eager", "attention_dropout": 0.0},
    "sdpa, no attention dropout": {"attention": "sdpa", "attention_dropout": 0.0},
    "sdpa, no attention dropout, bfloat16": {"attention": "sdpa", "attention_dropout": 0.0, "bfloat16": True},
}


def build(*, attention: str, attention_dropout: float, stock: bool = False, bfloat16: bool = False) -> torch.nn.Module:
    settings = {**SHAPE, "attn_implementation": attention, "attention_probs_dropout_prob": attention_dropout}
    torch.manual_seed(0)
    if stock:
        return BertForMaskedLM(BertConfig(vocab_size=4101, **settings)).train()
    return KmerBertForMaskedLM(KmerBertConfig(k=6, **settings)).train()


def random_batch(rows: int, length: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 4101, (rows, length), generator=generator)
    labels = torch.where(torch.rand(rows, length, generator=generator) < 0.15, ids, -100)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def seconds_a_step(model: torch.nn.Module, batch: dict[str, torch.Tensor], bfloat16: bool, repeats: int) -> float:
    """Median CPU time of a step; CPU time, since other work on the machine must not count."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.process_time() - start)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/speed_kmer_bert.json"))
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = {}
    for rows, length in ((64, 128), (16, 507)):
        batch, table = random_batch(rows, length), {}
        for name, variant in VARIANTS.items():
            bfloat16 = variant.get("bfloat16", False)
            seconds = seconds_a_step(build(**variant), batch, bfloat16, arguments.repeats)
            table[name] = {"tokens_per_second": round(rows * length / seconds)}
        contender = table["stock BertForMaskedLM, sdpa"]["tokens_per_second"]
        for row in table.values():
            row["times_stock"] = round(row["tokens_per_second"] / contender, 2)
        tables[f"{rows} rows of {length} tokens"] = table
    result = about(data="random 6-mers, 15 % labelled", seeds=[0]) | {
        "what": "training steps of a k-mer BERT, tokens per second of CPU time on one thread",
        "model": SHAPE | {"vocab_size": 4101},
        "repeats": arguments.repeats,
        "device": f"1 CPU thread, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "tables": tables,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(tables, indent=1))


if __name__ == "__main__":
    main()
