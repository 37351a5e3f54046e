# %% [markdown]
# # Phages in an assembly
#
# Contigs in; a table, tracks and pictures out, with the model that comes with the package. The assembly here is made up, so
# that the page can be executed anywhere: genes with the codons of *Escherichia coli*, and letters at random. Put your own file
# in the place of `contigs.fasta`.

# %%
from pathlib import Path

import numpy as np

CODONS = [
    "GCG",
    "36",
    "GCC",
    "26",
    "GCA",
    "20",
    "GCT",
    "15",
    "CGC",
    "22",
    "CGT",
    "21",
    "AAC",
    "22",
    "AAT",
    "18",
    "GAT",
    "32",
    "GAC",
    "19",
    "TGC",
    "6",
    "CAG",
    "29",
    "CAA",
    "15",
    "GAA",
    "40",
    "GAG",
    "18",
    "GGC",
    "30",
    "GGT",
    "25",
    "GGG",
    "11",
    "CAT",
    "13",
    "CAC",
    "10",
    "ATT",
    "30",
    "ATC",
    "25",
    "CTG",
    "53",
    "TTA",
    "14",
    "TTG",
    "13",
    "CTT",
    "11",
    "CTC",
    "11",
    "AAA",
    "34",
    "AAG",
    "10",
    "ATG",
    "28",
    "TTT",
    "22",
    "TTC",
    "17",
    "CCG",
    "23",
    "CCA",
    "8",
    "AGC",
    "16",
    "TCT",
    "8",
    "ACC",
    "23",
    "ACG",
    "14",
    "ACT",
    "9",
    "TGG",
    "15",
    "TAT",
    "16",
    "TAC",
    "12",
    "GTG",
    "26",
    "GTT",
    "18",
    "GTC",
    "15",
    "GTA",
    "11",
]
USAGE = np.array(CODONS[1::2], float) / np.array(CODONS[1::2], float).sum()


def genes(length, seed):
    draw, text = np.random.default_rng(seed), ""
    while len(text) < length:
        gene = "ATG" + "".join(draw.choice(CODONS[::2], draw.integers(80, 400), p=USAGE)) + "TAA"
        text += gene if draw.random() < 0.7 else gene[::-1].translate(str.maketrans("ACGT", "TGCA"))
        text += "".join(draw.choice(list("ACGT"), draw.integers(10, 60)))
    return text[:length]


def letters(length, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


contigs = {
    "chromosome": genes(30_000, 0),
    "with_a_stranger": genes(24_000, 1) + letters(12_000, 2) + genes(24_000, 3),
    "noise": letters(12_000, 4),
    "circle": genes(5_000, 5) + genes(5_000, 5)[:127],
    "short": genes(300, 6),
}
_ = Path("contigs.fasta").write_text("".join(f">{name}\n{text}\n" for name, text in contigs.items()))

# %% [markdown]
# One command; contigs below 500 nt are left out by count, `--min-length` says otherwise:

# %%
# !seqformers find-phages contigs.fasta --output phages.tsv --sites sites --fasta-out by_class --plot pictures --ends --preset relaxed

# %% [markdown]
# ## The table

# %%
import pandas as pd

table = pd.read_csv("phages.tsv", sep="\t").set_index("id")
assert list(table.index) == ["chromosome", "with_a_stranger", "noise", "circle"]
table[
    ["length", "class", "score_phage", "score_virus", "score_plasmid", "score_host", "confidence", "fdr", "reliable"]
]

# %% [markdown]
# - `confidence` is the calibrated probability of the class, `fdr` the share of wrong rows to expect among those of the class that are
#   at least as confident, if all classes were as frequent. In a sample of nearly only bacteria ask for more: `--preset strict`.
# - `reliable` says whether the contig is like genomes that the model knows. Letters at random get a class, too, since there must be
#   one, and that column says what it is worth:

# %%
scores = table[["score_phage", "score_virus", "score_plasmid", "score_host"]]
assert np.allclose(scores.sum(axis=1), 1, atol=2e-4)
assert table.loc["chromosome", "class"] == "bacterium" and table.loc["chromosome", "reliable"]
assert not table.loc["noise", "reliable"]
assert table.loc["circle", "terminal_repeat"] == "direct:127"

# %% [markdown]
# A repeat of both ends (`--ends`) says that a contig closes to a circle, or that a genome is whole.
#
# ## Where
#
# `sites` holds the score of every window as bedGraph and regions as BED and GFF3, for a genome browser. The made-up chromosome
# with 12 kb of other letters in its middle has a region there, as it would with a provirus. That these letters are no phage is what
# `reliable` cannot say here, since four fifths of the contig are fine: look at regions as candidates.

# %%
regions = pd.read_csv("sites/regions.bed", sep="\t", names=["contig", "start", "end", "name", "score", "strand"])
inside = regions[regions.contig == "with_a_stranger"]
assert len(inside) and inside.start.min() >= 20_000 and inside.end.max() <= 40_000
regions

# %%
from IPython.display import Image

Image(filename=str(next(Path("pictures").glob("*with_a_stranger*.png"))))

# %% [markdown]
# `by_class` holds the contigs as FASTA files, one a class. The same from Python:

# %%
import seqformers

found = seqformers.find_phages({"noise": contigs["noise"], "circle": contigs["circle"]}, ends=True)
assert found["id"].tolist() == ["noise", "circle"]
found[["id", "class", "confidence", "reliable", "terminal_repeat"]]

# %% [markdown]
# How good is it? Measured on genomes whose groups it had not seen, with intervals, shortcuts and other tools beside it:
# [benchmarks](../benchmarks/index.md). There is no class for eukaryotes; leave their contigs out first.
