# %% [markdown]
# # A classifier from two folders of FASTA files
#
# A made-up virome stands in for your genomes: two folders, a FASTA file a genome. The whole way takes about a minute.

# %%
from pathlib import Path

from seqformers.datasets_scripts.phage.virome import write_virome

_ = write_virome(Path("virome"))
sorted(path.name for path in Path("virome/genomes").iterdir())

# %% [markdown]
# ## Reads, split by group of genomes

# %%
# !seqformers build phage --config reads-150 --data-dir virome/genomes --output reads groups_file=virome/groups.tsv max_train_reads=400 max_validation_reads=200 max_test_reads=400

# %% [markdown]
# ## A small network, from scratch
#
# The recipe is YAML. The shortcuts in `baselines` are fitted on the same reads.

# %%
_ = Path("recipe.yaml").write_text("""
task: finetune
name: tutorial-phage
model:
  type: kmer_bert
  from: null
  config: {hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 128, max_position_embeddings: 192}
tokenizer: {type: KmerTokenizer, k: 6, stride: 3}
data: {path: reads}
training: {per_device_train_batch_size: 32, learning_rate: 1e-3, num_train_epochs: 2, eval_strategy: epoch, save_strategy: epoch, load_best_model_at_end: true}
seeds: [0]
metrics: [macro_recall, auroc]
baselines: {names: [majority, gc_only, kmer_4_logistic]}
""")

# %%
# !seqformers finetune recipe.yaml --output runs/mine

# %% [markdown]
# A network of this size and a minute is no match for a k-mer regression, and the table says so: that is what the rows beside
# it are for.
#
# ## Answers for contigs

# %%
contigs = sorted(Path("virome/genomes").glob("*/*.fasta"))[:3]
_ = Path("contigs.fasta").write_text("".join(path.read_text() for path in contigs))
# !seqformers predict runs/mine contigs.fasta --output predictions.tsv --both-strands

# %%
import pandas as pd

predictions = pd.read_csv("predictions.tsv", sep="\t")
assert len(predictions) == Path("contigs.fasta").read_text().count(">")
predictions
