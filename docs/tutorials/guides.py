# %% [markdown]
# # Guides for a gene
#
# All Cpf1 (Cas12a) guides of a sequence, ranked by predicted indel frequency, with the model that comes with the package.

# %%
import random
from pathlib import Path

random.seed(5)
gene = "".join(random.choices("ACGT", k=1500))
_ = Path("gene.fasta").write_text(f">gene\n{gene}\n")

# %%
# !seqformers score-guides gene.fasta --output guides.tsv --track guides.png

# %%
import pandas as pd

guides = pd.read_csv("guides.tsv", sep="\t", keep_default_na=False)
guides.head(8)

# %% [markdown]
# Coordinates count from 0 on the forward strand. Every guide of the table can be found in the gene:

# %%
complement = str.maketrans("ACGT", "TGCA")
for row in guides.itertuples():
    pam = gene[row.pam_start : row.pam_start + 4]
    pam = pam if row.strand == "+" else pam.translate(complement)[::-1]
    assert pam.startswith("TTT") and pam[3] != "T"

# %%
from IPython.display import Image

Image(filename="guides.png")
