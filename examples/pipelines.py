"""The stock pipelines on sequences: masked k-mers, classes, embeddings.

python pipelines.py USER/MASKED-MODEL USER/CLASSIFIER
"""

import sys

from transformers import pipeline

masked, classifier = sys.argv[1:]
sequence = "ACGTTGCAACGTGACGTACGTTAGC"

fill = pipeline("fill-mask", masked, trust_remote_code=True, top_k=3)
for guess in fill(f"ACGTTGCAAC{fill.tokenizer.mask_token}GTACGTTAGC"):
    print(f"fill-mask: {guess['token_str']} {guess['score']:.3f}")

classify = pipeline("text-classification", classifier, trust_remote_code=True, top_k=None)
for answer in classify([sequence, "TTGACCATTTGGA"], batch_size=2):
    print("text-classification:", {entry["label"]: round(entry["score"], 3) for entry in answer})

embed = pipeline("feature-extraction", masked, trust_remote_code=True, return_tensors=True)
print("feature-extraction:", tuple(embed(sequence).shape))
