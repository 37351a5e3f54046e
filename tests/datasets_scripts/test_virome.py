"""The made-up virome: genes that stay open, on both strands, and files that a seed decides."""

from __future__ import annotations

import numpy as np
import pytest

from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.phage.virome import _genes, _genome, write_virome

STOPS = {"TAA", "TAG", "TGA"}


@pytest.mark.parametrize("mutations", [0.0, 0.3])
def test_genes_run_from_a_start_to_the_first_stop(mutations):
    genes = _genes(np.zeros(64), 2000, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    letters, place, strands = _genome(genes, mutations, rng).tobytes().decode(), 0, set()
    for gene, ahead, spacer in genes:
        text = letters[place : place + gene.size]
        if not ahead:
            text = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
        codons = [text[i : i + 3] for i in range(0, len(text), 3)]
        assert codons[0] == "ATG" and codons[-1] in STOPS and not STOPS & set(codons[:-1])
        place += gene.size + spacer.size
        strands.add(ahead)
    assert place == len(letters) and strands == {True, False} and sum(len(gene) - 2 for gene, _, _ in genes) == 2000


def test_a_seed_decides_the_files(tmp_path):
    options = {"families": 2, "members": 2, "codons": 200}
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        write_virome(tmp_path / name, seed=seed, **options)
    path = "genomes/phage/phage-01-0.fasta"
    one, same, other = ((tmp_path / name / path).read_bytes() for name in ("one", "same", "other"))
    assert one == same != other
    assert len((tmp_path / "one" / "groups.tsv").read_text().splitlines()) == 9


def test_members_of_a_family_are_alike_and_families_are_not(tmp_path):
    folder = write_virome(tmp_path, families=2, members=2, codons=1000) / "genomes" / "phage"
    genomes = {path.stem: "".join(record.sequence for record in read_fasta(path)) for path in folder.iterdir()}
    words = {name: {text[i : i + 15] for i in range(len(text) - 14)} for name, text in genomes.items()}
    assert len(words["phage-00-0"] & words["phage-00-1"]) > 500
    assert len(words["phage-00-0"] & words["phage-01-0"]) < 20
