"""Export a classifier to ONNX with the exporter of transformers, and score with onnxruntime alone.

python onnx_export.py USER/CLASSIFIER OUTPUT
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.exporters import OnnxConfig, OnnxExporter

repo, output = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(repo, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(repo, trust_remote_code=True).eval()
sample = tokenizer(["ACGTTGCAACGTGACG", "TTGACCATT"], padding=True, return_tensors="pt")
exported = OnnxExporter().export(model, dict(sample), config=OnnxConfig(dynamic=True))
if hasattr(exported, "save_pretrained"):
    exported.save_pretrained(output)
else:  # transformers before 5.23
    Path(output).mkdir(parents=True, exist_ok=True)
    exported.save(Path(output) / "model.onnx")

session = onnxruntime.InferenceSession(Path(output) / "model.onnx")
worst = 0.0
for sequences in (["ACGTTGCAACGTGACGTACGTTAGC"], ["ACGT" * 5, "TTGACCA", "GGATTACAGATTACA"]):
    batch = tokenizer(sequences, padding=True, return_tensors="np")
    wanted = {entry.name: batch[entry.name] for entry in session.get_inputs()}
    (logits,) = session.run(["logits"], wanted)
    expected = model(**tokenizer(sequences, padding=True, return_tensors="pt")).logits.detach().numpy()
    worst = max(worst, float(np.abs(logits - expected).max()))
print("largest difference to torch:", worst)
