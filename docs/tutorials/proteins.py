# %% [markdown]
# # Annotate proteins
#
# Three well-known proteins, and the small annotator that comes with the package: signal peptide, membrane topology and secondary
# structure. It is for a quick look, offline; large language models do better.

# %%
from pathlib import Path

proteins = {
    "OmpA_ECOLI": "MKKTAIAIAVALAGFATVAQAAPKDNTWYTGAKLGWSQYHDTGFINNNGPTHENQLGAGAFGGYQVNPYVGFEMGYDWLGRMPYKGSVENGAYKAQGVQLTAKLGYPITDDLDIYTRLGGMVWRADTKSNVYGKNHDTGVSPVFAGGVEYAITPEIATRLEYQWTNNIGDAHTIGTRPDNGMLSLGVSYRFGQGEAAPVVAPAPAPAPEVQTKHFTLKSDVLFNFNKATLKPEGQAALDQLYSQLSNLDPKDGSVVVLGYTDRIGSDAYNQGLSERRAQSVVDYLISKGIPADKISARGMGESNPVTGNTCDNVKQRAALIDCLAPDRRVEIEVKGIKDVVTQPQA",
    "BACR_HALSA": "QAQITGRPEWIWLALGTALMGLGTLYFLVKGMGVSDPDAKKFYAITTLVPAIAFTMYLSMLLGYGLTMVPFGGEQNPIYWARYADWLFTTPLLLLDLALLVDADQGTILALVGADGIMIGTGLVGALTKVYSYRFVWWAISTAAMLYILYVLFFGFTSKAESMRPEVASTFKVLRNVTVVLWSAYPVVWLIGSEGAGIVPLNIETLLFMVLDVSAKVGFGLILLRSRAIFGEAEAPEPSAGDGAAATS",
    "UBIQUITIN": "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG",
}
_ = Path("proteins.fasta").write_text("".join(f">{name}\n{letters}\n" for name, letters in proteins.items()))

# %%
# !seqformers --quiet annotate-proteins proteins.fasta -o table.tsv --plot

# %%
import pandas as pd

table = pd.read_csv("table.tsv", sep="\t").set_index("id")
table

# %% [markdown]
# A porin has a signal peptide, bacteriorhodopsin crosses the membrane, ubiquitin does neither:

# %%
assert (
    table.loc["OmpA_ECOLI", "signal_peptide_probability"] > 0.5 > table.loc["UBIQUITIN", "signal_peptide_probability"]
)
assert table.loc["BACR_HALSA", "num_membrane"] >= 5 and table.loc["UBIQUITIN", "num_membrane"] == 0
assert all(len(table.loc[name, "ss3"]) == len(letters) for name, letters in proteins.items())

# %%
from IPython.display import Image

Image(filename=str(next(path for path in sorted(Path("table-plots").iterdir()) if "OmpA" in path.name)))
