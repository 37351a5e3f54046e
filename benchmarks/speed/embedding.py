"""Vectors of reads of mixed length: nucleotides a second of `embed` by precision, beside stock BERT in file order.

All contenders read the same reads with the same weights, tokenizer and number of cores; rounds alternate. Stock is
`BertModel` as people run it: batches of 64 in the order of the file, padded to the longest. Beside the speed stands
how far vectors and scores are from fp32, and what is left of the speed beside a process that keeps one core busy.

    python -m benchmarks.speed.embedding [--openvino FOLDER] [--multimolecule FOLDER]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import BertConfig, BertModel

from benchmarks._results import write_result
from seqformers import KmerBertConfig, KmerBertForSequenceClassification, KmerTokenizer
from seqformers.datasets_scripts.phage.draws import LengthLaw
from seqformers.hub.devices import pick_precision
from seqformers.hub.load import load_model
from seqformers.hub.repository import write_model_repository
from seqformers.inference.embed import embed_records, residue_mask
from seqformers.inference.openvino_engine import CompiledModel
from seqformers.inference.scores import Scorer
from seqformers.inference.windowing import Windowing

SHAPE = {"hidden_size": 192, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 768}
PRECISIONS = ("fp32", "bf16", "int8")
LONGEST = 507  # letters that a context of 512 tokens holds
BATCH = 64
STOCK = "stock BertModel, in order"


class Read(NamedTuple):
    """A record."""

    id: str
    sequence: str


Run = Callable[[list[Read]], np.ndarray]


def draw_reads(count: int, seed: int) -> list[Read]:
    """Reads of any length up to a context, in no order."""
    rng = np.random.default_rng(seed)
    lengths = LengthLaw(upper=LONGEST, bias=0.0).draw(count, rng)
    return [Read(f"r{i}", "".join(rng.choice(list("ACGT"), int(n)))) for i, n in enumerate(lengths)]


def padded_in_order(model: Any, tokenizer: Any, reads: list[Read]) -> np.ndarray:
    """Mean vectors as a short script makes them."""
    vectors = []
    with torch.inference_mode():
        for at in range(0, len(reads), BATCH):
            texts = [read.sequence for read in reads[at : at + BATCH]]
            batch = dict(tokenizer(texts, padding=True, return_tensors="pt"))
            hidden = model(**batch).last_hidden_state
            weight = residue_mask(batch, tokenizer)[..., None].to(hidden)
            vectors.append(((hidden * weight).sum(1) / weight.sum(1)).numpy())
    return np.concatenate(vectors)


def contenders(
    folder: Path, openvino: str | None, multimolecule: str | None
) -> dict[str, Callable[[list[Read]], np.ndarray]]:
    torch.manual_seed(0)
    size = {**SHAPE, "max_position_embeddings": 512}
    model = KmerBertForSequenceClassification(KmerBertConfig(k=6, num_labels=2, **size)).eval()
    tokenizer = KmerTokenizer(k=6, model_max_length=512)
    write_model_repository(folder, model, tokenizer=tokenizer)
    found: dict[str, Run] = {}
    for precision in PRECISIONS:
        loaded = load_model(folder, "AutoModel", device="cpu", precision=precision)
        found[f"seqformers {precision}"] = lambda reads, loaded=loaded: np.array(
            [row["embedding"] for row in embed_records(reads, loaded)]
        )
    stock = BertModel(BertConfig(vocab_size=tokenizer.vocab_size, **size), add_pooling_layer=False).eval()
    stock.load_state_dict(model.base_model.state_dict(), strict=False)
    found[STOCK] = lambda reads: padded_in_order(stock, tokenizer, reads)
    if openvino:
        sys.path.append(openvino)
        for precision in ("fp32", "bf16"):
            compiled = load_model(folder, "AutoModel", device="cpu", precision=precision)
            compiled.compiled = CompiledModel(compiled)
            found[f"seqformers openvino {precision}"] = lambda reads, loaded=compiled: np.array(
                [row["embedding"] for row in embed_records(reads, loaded)]
            )
    if multimolecule:
        sys.path.append(multimolecule)
        from multimolecule import DnaBertConfig, DnaBertModel

        peer = DnaBertModel(DnaBertConfig(vocab_size=tokenizer.vocab_size, **size)).eval()
        found["multimolecule DnaBertModel, in order"] = lambda reads: padded_in_order(peer, tokenizer, reads)
    return found


def differences(folder: Path, reads: list[Read], vectors: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Largest difference from fp32: of vectors in units of each one's largest number, of scores as they are."""
    whole, scores = vectors["seqformers fp32"], {}
    for precision in PRECISIONS:
        loaded = load_model(folder, "AutoModelForSequenceClassification", device="cpu", precision=precision)
        found = Scorer(loaded).score_records(reads, Windowing().for_model(loaded))
        scores[precision] = np.array([score.scores for score in found])
    scale = np.abs(whole).max(1, keepdims=True)
    return {
        precision: {
            "vectors": float((np.abs(vectors[f"seqformers {precision}"] - whole) / scale).max()),
            "scores": float(np.abs(scores[precision] - scores["fp32"]).max()),
        }
        for precision in PRECISIONS
    }


def work_a_nucleotide(reads: list[Read]) -> float:
    """Floating-point operations of a forward pass, a nucleotide; no padding, attention with the squares of lengths."""
    h, inner = SHAPE["hidden_size"], SHAPE["intermediate_size"]
    tokens = np.array([len(read.sequence) - 5 + 2 for read in reads], float)
    layer = 2 * tokens * (4 * h * h + 2 * h * inner) + 4 * tokens**2 * h
    return float(SHAPE["num_hidden_layers"] * layer.sum() / sum(len(read.sequence) for read in reads))


def ceiling(kind: torch.dtype) -> float:
    """FLOP/s of a product of two square matrices on all cores, the best of seven."""
    a, best = torch.randn(2048, 2048).to(kind), float("inf")
    for _ in range(7):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def busy() -> None:
    while True:
        pass


def beside_a_neighbour(run: Run, reads: list[Read]) -> float:
    """Seconds of a run while another process takes a core."""
    neighbour = multiprocessing.get_context("spawn").Process(target=busy, daemon=True)
    neighbour.start()
    time.sleep(5)  # until it has started
    try:
        start = time.perf_counter()
        run(reads)
        return time.perf_counter() - start
    finally:
        neighbour.kill()
        neighbour.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reads", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--openvino", help="a folder where it is installed, to measure --engine openvino")
    parser.add_argument("--multimolecule", help="a folder where it is installed, for comparison")
    arguments = parser.parse_args()
    reads = draw_reads(arguments.reads, seed=0)
    letters = sum(len(read.sequence) for read in reads)
    with TemporaryDirectory() as name:
        folder = Path(name) / "run"
        found = contenders(folder, arguments.openvino, arguments.multimolecule)
        vectors = {name: run(reads) for name, run in found.items()}  # also warms up
        seconds: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(arguments.rounds):
            for name, run in found.items():
                start = time.perf_counter()
                run(reads)
                seconds[name].append(time.perf_counter() - start)
        apart = differences(folder, reads, vectors)
        neighbour = {name: beside_a_neighbour(found[name], reads) for name in (f"seqformers {PRECISIONS[0]}", STOCK)}
    peaks = {name: ceiling(kind) for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16))}
    rates = {name: letters / statistics.median(times) for name, times in seconds.items()}
    stock = STOCK
    assert np.abs(vectors[stock] - vectors["seqformers fp32"]).max() < 1e-3  # the same vectors
    rows = {
        name: {
            "nt_per_s": round(rate),
            "times_stock": round(rate / rates[stock], 2),
            "seconds": [round(s, 2) for s in seconds[name]],
        }
        for name, rate in rates.items()
    }
    result = {
        "what": "vectors of reads of mixed length, real nucleotides a second of wall time, all cores",
        "model": SHAPE,
        "reads": {
            "count": len(reads),
            "nt": letters,
            "shortest": min(len(r.sequence) for r in reads),
            "longest": LONGEST,
        },
        "cores": torch.get_num_threads(),
        "auto": pick_precision("auto", torch.device("cpu")),
        "matrix_product": {
            name: {
                "gflops": round(peak / 1e9, 1),
                "share_of_it": round(rates[f"seqformers {name}"] * work_a_nucleotide(reads) / peak, 2),
                "times_stock_at_all_of_it": round(peak / work_a_nucleotide(reads) / rates[STOCK], 2),
            }
            for name, peak in peaks.items()
        },
        "rows": rows,
        "largest_difference_from_fp32": apart,
        "share_of_speed_beside_a_busy_process": {
            name: round(statistics.median(seconds[name]) / found, 2) for name, found in neighbour.items()
        },
    }
    print(json.dumps(result, indent=1))
    write_result("speed_embedding", result, data=f"{len(reads)} random reads of uniform length", seeds=[0])


if __name__ == "__main__":
    main()
