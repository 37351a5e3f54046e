"""Three ways to load one model with nothing of seqformers installed; all give the same numbers.

python load_without_package.py USER/MODEL
"""

import sys

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer

repo = sys.argv[1]
sequences = ["ACGTTGCAACGTGACGTACGTTAGC", "TTGACCA"]


@torch.no_grad()
def logits(**how):
    tokenizer = AutoTokenizer.from_pretrained(repo, **how)
    model = AutoModelForMaskedLM.from_pretrained(repo, **how).eval()
    batch = tokenizer(sequences, padding=True, return_tensors="pt")
    return type(model).__name__, model(**batch).logits


shipped, first = logits(trust_remote_code=True)  # the code that came with the weights
stock, second = logits(subfolder="portable")  # plain BERT and a plain tokenizer.json: no code of anybody's
print(f"{shipped}: {tuple(first.shape)}\n{stock}: {tuple(second.shape)}")
print("largest difference:", (first - second).abs().max().item())
