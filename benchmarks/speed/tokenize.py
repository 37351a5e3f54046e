"""k-mer tokenizing and masking: this package, multimolecule, and pre-split text through the Rust tokenizer.

    python -m benchmarks.speed.tokenize

1,000 random reads of 510 nt, k = 6, to a padded int64 batch, on one thread; and the collator on such batches. Beside
each rate stands a plain copy of the bytes that come out, the floor that no tokenizer can pass.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling

from benchmarks._results import time_call, write_result
from seqformers import DataCollatorForKmerLanguageModeling, KmerTokenizer

READS, LENGTH, K = 1000, 510, 6


def main() -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    reads = ["".join(row) for row in rng.choice(list("ACGT"), (READS, LENGTH))]
    ours = KmerTokenizer(k=K)
    batch = ours(reads, padding=True, return_tensors="np")
    contenders = {
        "seqformers KmerTokenizer": (lambda: ours(reads, padding=True, return_tensors="np"), 60),
        "seqformers KmerTokenizer, to torch": (lambda: ours(reads, padding=True, return_tensors="pt"), 60),
        "pre-split text, Rust WordLevel": (_rust(ours, reads, batch.input_ids), 5),
        "multimolecule 0.2.2 DnaTokenizer(nmers=6)": (_multimolecule(reads), 3),
        "plain copy of the output bytes": (_copy(batch), 60),
    }
    rows = {}
    for name, (call, repeats) in contenders.items():
        if call is None:
            continue
        seconds = time_call(call, repeats=repeats, warm_up=1)
        rows[name] = {**seconds, "million_nt_per_s": READS * LENGTH / seconds["median_cpu_s"] / 1e6}
        print(f"{name:45s} {rows[name]['million_nt_per_s']:12.2f} million nt/s")
    first = rows["seqformers KmerTokenizer"]["million_nt_per_s"]
    ratios = {name: first / row["million_nt_per_s"] for name, row in rows.items()}
    result = {"reads": READS, "length": LENGTH, "k": K, "threads": 1, "rates": rows, "times_faster_than": ratios}
    result["collator"] = _collator(ours, batch.input_ids)
    for name, row in result["collator"].items():
        print(f"{name:45s} {row['million_tokens_per_s']:12.2f} million tokens/s")
    print(write_result("speed_tokenize", result, data="random reads, numpy default_rng(0)", seeds=[0]))


def _rust(ours: KmerTokenizer, reads: list[str], expected: np.ndarray):
    """What DNABERT users do: k-mers joined by spaces before, then a stock fast tokenizer."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(WordLevel(ours.get_vocab(), unk_token="[UNK]"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="[PAD]")
    texts = [" ".join(read[i : i + K] for i in range(LENGTH - K + 1)) for read in reads]
    call = lambda: fast(texts, padding=True, return_tensors="np")  # noqa: E731
    assert (call().input_ids == expected).all()
    return call


def _multimolecule(reads: list[str]):
    try:
        from multimolecule import DnaTokenizer
    except ImportError as error:
        print(f"multimolecule is left out: {error}")
        return None
    tokenizer = DnaTokenizer(nmers=K)
    return lambda: tokenizer(reads, padding=True, return_tensors="np")


def _copy(batch: dict):
    arrays = [np.asarray(value) for value in batch.values()]
    return lambda: [array.copy() for array in arrays]


def _collator(tokenizer: KmerTokenizer, ids: np.ndarray) -> dict[str, dict[str, float]]:
    features = [{"input_ids": row} for row in ids]
    out = {}
    for name, rows in {
        "collator, batch of 64": features[:64],
        "collator, batch of 1000": features,
        "collator, batch of 64, lengths 100-507": [{"input_ids": r[: 100 + 6 * i]} for i, r in enumerate(ids[:64])],
    }.items():
        collate = DataCollatorForKmerLanguageModeling(tokenizer, seed=0)
        seconds = time_call(lambda: collate(rows), repeats=60)  # noqa: B023 (called at once)
        tokens = sum(len(row["input_ids"]) for row in rows)
        out[name] = {**seconds, "million_tokens_per_s": tokens / seconds["median_cpu_s"] / 1e6}
    stock = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    seconds = time_call(lambda: stock(features[:64]), repeats=15)
    out["stock collator, batch of 64"] = {
        **seconds, "million_tokens_per_s": ids[:64].size / seconds["median_cpu_s"] / 1e6
    }  # fmt: skip
    copied = time_call(lambda: (ids.copy(), ids.copy(), ids.copy()), repeats=60)
    out["plain copy of the three matrices"] = {
        **copied, "million_tokens_per_s": ids.size / copied["median_cpu_s"] / 1e6
    }  # fmt: skip
    return out


if __name__ == "__main__":
    main()
