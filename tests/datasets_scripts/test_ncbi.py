"""Genomes fetched: assembly summaries, the viral release and lists of addresses, from a replica on the loopback."""

from __future__ import annotations

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from seqformers.datasets import build_dataset
from seqformers.datasets_scripts.genomes.arrays import GenomeArrays
from seqformers.datasets_scripts.genomes.ncbi import Assembly, choose, read_summary, read_url_list

HEAD = [
    "assembly_accession", "bioproject", "refseq_category", "organism_name", "assembly_level", "version_status",
    "ftp_path",
]  # fmt: skip
BASE = "https://ftp.ncbi.nlm.nih.gov/genomes/all/GCF"


def dna(seed, length=900):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def summary(rows):
    lines = ["##  See ftp://ftp.ncbi.nlm.nih.gov/genomes/README_assembly_summary.txt", "#" + "\t".join(HEAD)]
    return "\n".join(lines + ["\t".join(row) for row in rows]) + "\n"


@pytest.fixture(scope="module")
def replica(tmp_path_factory):
    """Folder of files as NCBI and GenomeNet lay them out, and its address."""
    root = tmp_path_factory.mktemp("replica")

    def write(path, content):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)

    for domain, count in (("bacteria", 6), ("archaea", 3)):
        rows = []
        for i in range(count):
            name = f"GCF_{domain[:3]}{i}_v1"
            genus = f"{domain.title()}genus{i // 2}"
            category = "reference genome" if i % 2 else "na"
            level, status = ("Contig" if i == 5 else "Complete Genome"), ("replaced" if i == 4 else "latest")
            rows.append(
                [f"GCF_{domain[:3]}{i}.1", "P", category, f"{genus} species {i}", level, status, f"{BASE}/{name}"]
            )
            text = f">NZ_{domain}{i} {genus} chromosome\n{dna(i)}\n"
            text += f">NZ_P{domain}{i} {genus} plasmid pX{i}, complete sequence\n{dna(100 + i, 700)}\n"
            data = gzip.compress(text.encode(), mtime=0)
            write(f"genomes/all/GCF/{name}/{name}_genomic.fna.gz", data)
            sums = f"{hashlib.md5(data).hexdigest()}  ./{name}_genomic.fna.gz\n{'0' * 32}  ./other.txt\n"
            write(f"genomes/all/GCF/{name}/md5checksums.txt", sums.encode())
        write(f"genomes/refseq/{domain}/assembly_summary.txt", summary(rows).encode())
    hosts, texts = [], ""
    for i, lineage in enumerate(["Bacteria; X", "Bacteria; Y", "Eukaryota; Z", "Eukaryota; Z"]):
        hosts.append([i, f"V{i}", f"Viruses; Gen{i}virus", f"NC_{i}", 1, "h", lineage])
        texts += f">NC_{i}.1 virus\n{dna(200 + i)}\n"
    write("refseq/release/viral/viral.1.1.genomic.fna.gz", gzip.compress(texts.encode()))
    names = ["virus tax id", "virus name", "virus lineage", "refseq id", "host tax id", "host name", "host lineage"]
    write(
        "ftp/db/virushostdb/virushostdb.tsv", pd.DataFrame(hosts, columns=names).to_csv(sep="\t", index=False).encode()
    )
    for i in range(2):
        write(f"own/fungus{i}.fa", f">chr\n{dna(300 + i)}\n".encode())
    handler = partial(SimpleHTTPRequestHandler, directory=str(root))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield root, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


VIRAL = ("https://ftp.ncbi.nlm.nih.gov/refseq/release/viral/viral.1.1.genomic.fna.gz",)


def test_classes_of_all_sources_in_one_build(replica, tmp_path, monkeypatch):
    root, mirror = replica
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    md5 = hashlib.md5((root / "own/fungus0.fa").read_bytes()).hexdigest()
    (tmp_path / "fungi.txt").write_text(
        f"# mine\nhttps://example.org/own/fungus0.fa {md5}\n\nhttps://example.org/own/fungus1.fa\n"
    )
    folder = build_dataset(
        "genomes", output=tmp_path / "out", source="ncbi", mirror=mirror, viral_urls=VIRAL,
        url_lists={"fungus": str(tmp_path / "fungi.txt")}, split_fractions=[1.0, 0.0, 0.0],
    )  # fmt: skip
    found = GenomeArrays.open(folder)
    assert found.names == ["bacterium", "archaeon", "plasmid", "phage", "virus", "fungus"]
    rows = sorted(
        (found.names[label], genome) for label, genome in zip(found.label, found.genome_ids.to_pylist(), strict=True)
    )
    # One of a genus, the reference where there is one; what is replaced or no whole genome is not taken.
    assert rows == sorted(
        [("bacterium", f"GCF_bac{i}.1") for i in (1, 3)] + [("archaeon", f"GCF_arc{i}.1") for i in (1, 2)]
        + [("plasmid", f"NZ_Pbacteria{i}") for i in (1, 3)] + [("plasmid", f"NZ_Parchaea{i}") for i in (1, 2)]
        + [("phage", "taxid0"), ("phage", "taxid1"), ("virus", "taxid2"), ("virus", "taxid3")]
        + [("fungus", "fungus0"), ("fungus", "fungus1")]
    )  # fmt: skip
    groups = {
        genome: found.groups[group] for genome, group in zip(found.genome_ids.to_pylist(), found.group, strict=True)
    }
    assert groups["GCF_bac1.1"] == groups["NZ_Pbacteria1"] == "Bacteriagenus0" and groups["taxid0"] == "Gen0virus"


def test_a_file_of_another_checksum_is_refused(replica, tmp_path, monkeypatch):
    _, mirror = replica
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "list.txt").write_text(f"https://example.org/own/fungus0.fa {'0' * 64}\n")
    with pytest.raises(ValueError, match="has checksum"):
        build_dataset(
            "genomes", output=tmp_path / "o", mirror=mirror, url_lists={"fungus": str(tmp_path / "list.txt")}
        )
    assert not (tmp_path / "o").exists()


def test_the_choice_depends_on_the_seed_alone():
    listed = [Assembly(f"G{i}", f"genus{i % 7}", i == 9, "Complete Genome", f"https://x/G{i}") for i in range(40)]
    options = {"levels": ["Complete Genome"], "per_genus": 2, "most": 5}
    one = choose(iter(listed), seed=0, **options)
    assert one == choose(iter(listed[::-1]), seed=0, **options) and len(one) == 5
    assert one != choose(iter(listed), seed=1, **options)
    every = choose(iter(listed), levels=["Complete Genome"], per_genus=1, most=0, seed=0)
    assert len(every) == 7 and any(found.accession == "G9" for found in every)
    assert choose(iter(listed), levels=["Contig"], per_genus=0, most=0, seed=0) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n1\t2\n", "no column 'assembly_accession'"),
        ("#assembly_accession\tx\ty\nG\t1\t2\n", "no column 'refseq_cat"),
    ],
)
def test_another_table_is_no_summary(text, message, tmp_path):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        list(read_summary(tmp_path / "t.txt"))


@pytest.mark.parametrize("text", ["", "# nothing\n", "no address\n", "https://x/y.fa abc\n", "https://x/y a b\n"])
def test_a_list_of_something_else_is_named(text, tmp_path):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(ValueError, match="list"):
        read_url_list(tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "ebi"}, "source must be 'ncbi'"),
        ({"source": "ncbi", "data_dir": "."}, "leave the folder out"),
        ({"source": "ncbi", "url_lists": {"phage": "x"}}, "names 'phage'"),
    ],
)
def test_options_that_make_no_sense_together(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build_dataset("genomes", output=tmp_path / "o", **options)
