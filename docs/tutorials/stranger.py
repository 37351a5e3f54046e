# %% [markdown]
# # Publish, and load as a stranger
#
# A model goes to the Hub and comes back three ways: with this package, with the code that was shipped beside the weights, and as
# a stock BERT without anybody's code.
#
# The next cell starts a Hub on this machine, so that the page can run anywhere; leave it out to use your own account.

# %%
import os
from pathlib import Path

from tests.hub.loopback import LoopbackHub

hub = LoopbackHub().__enter__()
os.environ |= {
    "HF_ENDPOINT": hub.url,
    "HF_TOKEN": hub.token,
    "HF_HUB_OFFLINE": "0",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HOME": str(Path("cache").resolve()),
}

# %% [markdown]
# A small network, trained for a moment by a recipe, so that it comes with a card:

# %%
from seqformers.datasets_scripts.phage.virome import write_virome

_ = write_virome(Path("virome"))
_ = Path("recipe.yaml").write_text("""
task: finetune
name: tutorial-phage
model: {type: kmer_bert, config: {hidden_size: 64, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 128}}
tokenizer: {type: KmerTokenizer, k: 6, stride: 3}
data: {path: reads}
training: {per_device_train_batch_size: 32, learning_rate: 1e-3, max_steps: 10}
seeds: [0]
metrics: [macro_recall]
baselines: {names: [gc_only]}
""")
# !seqformers -q build phage --config reads-150 --data-dir virome/genomes --output reads groups_file=virome/groups.tsv max_train_reads=200 max_validation_reads=100 max_test_reads=200
# !seqformers -q finetune recipe.yaml model.from=null --output runs/phage

# %% [markdown]
# What would go, and what stays:

# %%
# !seqformers push runs/phage loopback/phage --dry-run

# %%
# !seqformers push runs/phage loopback/phage

# %% [markdown]
# ## As somebody else

# %%
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

sequences = ["ACGTTGCAACGTGACGTACGTTAGC", "TTGACCATTGACCA"]


@torch.no_grad()
def logits(**how):
    tokenizer = AutoTokenizer.from_pretrained("loopback/phage", **how)
    model = AutoModelForSequenceClassification.from_pretrained("loopback/phage", **how).eval()
    print(type(model).__module__.partition(".")[0], type(model).__name__)
    return model(**tokenizer(sequences, padding=True, return_tensors="pt")).logits


shipped = logits(trust_remote_code=True)  # the code that came with the weights
stock = logits(subfolder="portable")  # a plain BERT and a plain tokenizer.json: no code of anybody's
assert torch.allclose(shipped, stock, atol=1e-5)
shipped
