# %% [markdown]
# # Pretrain and probe
#
# Masked pretraining on unlabelled genomes, then only the last layer on labels: what an encoder has learned, under label scarcity.

# %%
from pathlib import Path

from seqformers.datasets_scripts.phage.virome import write_virome

_ = write_virome(Path("virome"))
# !seqformers --quiet build phage --config pretrain --data-dir virome/genomes --output unlabelled groups_file=virome/groups.tsv max_train_reads=1000 max_validation_reads=100
# !seqformers --quiet build phage --config reads-150 --data-dir virome/genomes --output reads groups_file=virome/groups.tsv max_train_reads=300 max_validation_reads=200 max_test_reads=300

# %%
network = """
model: {type: kmer_bert, config: {hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 128, max_position_embeddings: 192}}
tokenizer: {type: KmerTokenizer, k: 6, stride: 3}
"""
_ = Path("pretrain.yaml").write_text(f"""
task: pretrain
name: tutorial-pretrained
{network}
data: {{path: unlabelled}}
training: {{per_device_train_batch_size: 32, learning_rate: 2e-3, num_train_epochs: 1, logging_steps: 20}}
""")
_ = Path("probe.yaml").write_text(f"""
task: probe
name: tutorial-probe
{network}
data: {{path: reads}}
seeds: [0]
metrics: [macro_recall]
baselines: {{names: [majority, gc_only]}}
""")

# %%
# !seqformers pretrain pretrain.yaml --output runs/pretrained

# %%
# !seqformers probe probe.yaml model.from=runs/pretrained --output runs/probe

# %%
import json

scores = json.loads(Path("runs/probe/metrics.json").read_text())
assert 0 <= scores["metrics"]["test"]["macro_recall"]["mean"] <= 1
scores["metrics"]["test"]
