# %% [markdown]
# # miRNA targets of a gene list
#
# Two miRNAs, a handful of 3'UTRs, and the model that comes with the package. Nothing is downloaded.

# %%
from pathlib import Path

LET7, MIR21 = "UGAGGUAGUAGGUUGUAUAGUU", "UAGCUUAUCAGACUGAUGUUGA"
_ = Path("mirnas.fa").write_text(f">let-7a\n{LET7}\n>miR-21\n{MIR21}\n")
flank = "GGAGCAAUCUCAACUGACUUAGUUAGUAAGCAUU"
utrs = {
    "let-7-site": flank + "CAAACUACCUCA" + "UUUAAGCGGAUC",
    "miR-21-site": flank + "CAAAUAAGCUA" + "UUUAAGCGGAUC",
    "no-site": "GCUUACCAGGUCAGUCCAUUGGACCUUAGCAAUGGCAUUGACCAGUUACGA",
}
_ = Path("utrs.fa").write_text("".join(f">{name}\n{utr}\n" for name, utr in utrs.items()))

# %% [markdown]
# On the command line:

# %%
# !seqformers --quiet scan-targets --mirna mirnas.fa --mrna utrs.fa --output targets.tsv --plot pictures

# %% [markdown]
# A row a pair. Scores are ranks among the mRNAs of one miRNA, so sort within each:

# %%
import pandas as pd

table = pd.read_csv("targets.tsv", sep="\t")
table = table.sort_values(["mirna_id", "score"], ascending=[True, False])
table[["mirna_id", "mrna_id", "score", "num_sites", "best_start", "best_end", "site_type"]]

# %%
best = table.groupby("mirna_id").first()["mrna_id"]
assert best.to_dict() == {"let-7a": "let-7-site", "miR-21": "miR-21-site"}

# %% [markdown]
# The picture of the best pair:

# %%
from IPython.display import Image

Image(filename=str(sorted(Path("pictures").glob("*let-7*let-7*.png"))[0]))

# %% [markdown]
# The same from Python, on strings:

# %%
import seqformers

seqformers.scan_targets({"let-7a": LET7}, utrs, sites=True).head()
