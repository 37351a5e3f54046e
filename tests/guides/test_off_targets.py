"""Off-targets: every site against brute force, the index and what may happen to it, a record's own place."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from seqformers.cli import app
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.guides import genome_index, neighbours, packing
from seqformers.guides.genome_index import open_index
from seqformers.guides.neighbours import find_neighbours
from seqformers.guides.packing import letters_of, pack_codes, pack_sites
from seqformers.guides.score import guide_table, score_guides
from seqformers.guides.sites import Pam, find_sites
from seqformers.guides.specificity import _ACTIVE, _PAIRS
from tests.guides.test_score import COMPLEMENT, model, slow_sites
from tests.kills import run_and_kill

RNG = np.random.default_rng(3)


def random_bases(count, letters="ACGT"):
    return "".join(RNG.choice(list(letters), count))


def mutated(text, places):
    swap = dict(zip("ACGTN", "CGTAA", strict=True))
    return "".join(swap[letter] if place in places else letter for place, letter in enumerate(text))


def reversed_complement(text):
    return text.translate(COMPLEMENT)[::-1]


def brute_force(contigs, protospacer, pams, most):
    """(contig, start, end, strand, pam, site, mismatches) letter by letter, in order."""
    found = []
    for name, text in contigs.items():
        sites = {(s, d, c) for pam in pams.split(",") for s, d, c in slow_sites(text, pam)}
        for start, strand, context in sorted(sites, key=lambda site: (site[0], site[1])):
            guide, low = context[8:31], start if strand == "+" else start - 23
            if low < 0 or low + 27 > len(text):
                continue
            apart = [a != b or a not in "ACGT" for a, b in zip(guide, protospacer, strict=True)]
            if sum(apart) <= most:
                shown = "".join(a.lower() if off else a for a, off in zip(guide, apart, strict=True))
                found.append((name, low, low + 27, strand, context[4:8], shown.replace("n", "n"), sum(apart)))
    return found


def write_fasta(path, records):
    path.write_text("".join(f">{name}\n{text}\n" for name, text in records.items()))
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A gene, and a genome that holds it and copies of its first guides with 0 to 6 mismatches, some with an N."""
    folder = tmp_path_factory.mktemp("planted")
    gene = "GCGC" + "".join(f"TTTA{random_bases(23)}GCC" for _ in range(4)) + "GC"
    guides = [context for _, _, context in slow_sites(gene, "TTTV")][:4]
    copies = []
    for context in guides:
        for count in range(7):
            places = set((8 + RNG.choice(23, count, replace=False)).tolist())
            copies.append("GG" + mutated(context, places) + "CC")
    copies.append("GG" + guides[0][:20] + "N" + guides[0][21:] + "CC")
    copies += [reversed_complement(copy) for copy in copies[::3]]
    contigs = {
        "one": random_bases(300) + gene + random_bases(200, "ACGTN") + "".join(copies[:12]),
        "two": "".join(copies[12:]) + random_bases(150),
        "short": "TTTA",
    }
    return write_fasta(folder / "gene.fa", {"gene": gene}), write_fasta(folder / "genome.fa", contigs), contigs, gene


class TestPacking:
    @settings(deadline=None, max_examples=40)
    @given(
        st.text("ACGTNacgtuRx", min_size=0, max_size=90), st.sampled_from(["TTTV", "TTTN", "NNNN", "VTTV,TTTT,TYCV"])
    )
    def test_packed_sites_are_those_of_the_slow_search(self, text, pam):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packing, "_WINDOW", 17)
            parts = list(pack_sites(text, Pam(pam)))
        sites = find_sites(text, pam)
        sites = sites[sites.protospacer_cut == 0]
        join = lambda name: np.concatenate([getattr(part, name) for part in parts]) if parts else np.empty(0)  # noqa: E731
        assert join("at").tolist() == sites.at.tolist()
        assert join("reverse").tolist() == sites.reverse.tolist()
        if len(sites):
            contexts = sites.contexts()
            known = np.isin(contexts[:, 8:31], list(b"ACGT"))
            wanted = np.where(known, contexts[:, 8:31], ord("A"))
            assert (letters_of(join("guides"), 23) == wanted).all()
            assert (letters_of(join("pams"), 4) == contexts[:, 4:8]).all()
            odd = np.concatenate([part.odd + sum(map(len, parts[:i])) for i, part in enumerate(parts)])
            assert odd.tolist() == np.flatnonzero(~known.all(1)).tolist()

    def test_several_pams_are_their_union(self):
        text = random_bases(3000)
        both = find_sites(text, "TTTV,TYCV")
        apart = [find_sites(text, pam) for pam in ("TTTV", "TYCV")]
        places = {(int(s.at[i]), bool(s.reverse[i])) for s in apart for i in range(len(s))}
        assert list(zip(both.at.tolist(), both.reverse.tolist(), strict=True)) == sorted(places)

    def test_what_is_no_pam(self):
        with pytest.raises(ValueError, match="PAM 'TTX' must be 4 IUPAC letters"):
            Pam("TTTV,TTX")


class TestNeighbours:
    @pytest.mark.parametrize("mismatches", range(6))
    def test_exact_against_brute_force_by_blocks_and_by_looking_at_all(self, tmp_path, monkeypatch, mismatches):
        monkeypatch.setattr(neighbours, "_PART", 97)
        monkeypatch.setattr(neighbours, "_TILE", 64)
        contigs = {f"c{number}": random_bases(2500, "ACGTACGTACGTACGTN") for number in range(2)}
        index = open_index(write_fasta(tmp_path / "g.fa", contigs), Pam("TTTV"))
        sites = [site[8:31] for text in contigs.values() for start, strand, site in slow_sites(text, "TTTV")
                 if 0 <= (start if strand == "+" else start - 23) <= len(text) - 27]  # fmt: skip
        sites = sorted(sites)[::3]
        guides = np.array([["ACGTN".index(letter) for letter in sites[RNG.integers(len(sites))]] for _ in range(60)])
        for row in guides[:50]:
            places = RNG.choice(23, RNG.integers(0, 7), replace=False)
            row[places] = RNG.integers(0, 4, len(places))
        guides[-1, 4] = 4
        packed, unknown = pack_codes(guides)
        text = ["".join("ACGTN"[code] for code in row) for row in guides]
        every = [hit for name in contigs for hit in _sites_of(contigs[name])]
        wanted = [
            (guide, site) for site, letters in enumerate(every) for guide in range(len(text))
            if sum(a != b or a == "N" for a, b in zip(letters, text[guide], strict=True)) <= mismatches
        ]  # fmt: skip
        assert wanted
        for few in (0, 1000):
            found = [hits for _, hits in find_neighbours(index, packed, unknown, mismatches, few=few)]
            pairs = [pair for hits in found for pair in zip(hits.guide.tolist(), hits.site.tolist(), strict=True)]
            assert pairs == wanted, few


def _sites_of(text):
    rows = [(s, d, c) for s, d, c in slow_sites(text, "TTTV") if 0 <= (s if d == "+" else s - 23) <= len(text) - 27]
    return [context[8:31] for _, _, context in sorted(rows, key=lambda row: (row[0], row[1]))]


def factor(place, guide, site):
    """Share of guides of DeWeirdt et al. that are active with this letter at this place; 1 where it matches."""
    if site.isupper():
        return 1.0
    if "N" in guide + site.upper():
        return np.mean(_ACTIVE[place]) / 100
    return _ACTIVE[place][_PAIRS.index(guide.replace("T", "U") + site.upper().translate(COMPLEMENT))] / 100


def test_published_factors_by_hand():
    assert factor(0, "A", "g") == 0.20 and factor(22, "C", "g") == 1.0 and factor(9, "G", "a") == 0.66
    assert factor(4, "C", "a") == 0.01 and factor(3, "T", "n") == pytest.approx(0.0908, abs=1e-4)


class TestGuideTable:
    def test_counts_and_hits_are_those_of_brute_force(self, planted, tmp_path):
        gene, genome, contigs, _ = planted
        hits = tmp_path / "hits.tsv"
        score_guides(
            gene, tmp_path / "o.tsv", model=model(), genome=genome, mismatches=5, off_target_table=hits, index=tmp_path
        )
        table, listed = pd.read_csv(tmp_path / "o.tsv", sep="\t"), pd.read_csv(hits, sep="\t", na_filter=False)
        assert len(table) >= 4 and len(listed) > 25
        for row in table.itertuples():
            wanted = brute_force(contigs, row.protospacer, "TTTV", 5)
            found = listed[listed.protospacer == row.protospacer]
            columns = ["contig", "start", "end", "strand", "pam", "site", "mismatches"]
            assert [tuple(values) for values in found[columns].to_numpy()] == wanted
            counts = np.bincount([hit[-1] for hit in wanted], minlength=6)
            own = (found.target_of == "gene").sum()
            assert own == 1
            counts[0] -= own
            assert [getattr(row, f"off_targets_{number}") for number in range(6)] == counts.tolist()
            scores = [np.prod(list(map(factor, range(23), row.protospacer, hit[5]))) for hit in wanted]
            assert np.allclose(found.score, scores, atol=1e-6)
            assert row.specificity == pytest.approx(100 / (1 + sum(scores) - 1), abs=1e-3)
        assert listed.contig.tolist() == sorted(listed.contig, key=list(contigs).index)

    def test_the_own_place_is_known_by_sequence_on_either_strand(self, planted, tmp_path):
        gene, _, contigs, text = planted
        genome = write_fasta(tmp_path / "turned.fa", {"c": random_bases(80) + reversed_complement(text), **contigs})
        table = guide_table(gene, model=model(), genome=genome)
        # The whole gene lies twice: the first place wins, the other is an off-target without a mismatch.
        assert table.on_target.str.startswith("c:").all()
        assert (table.off_targets_0 >= 1).all() and (table.best_off_target_mismatches == 0).all()
        start = 80 + len(text)
        for row in table.itertuples():
            low = row.pam_start if row.strand == "+" else row.pam_start - 23
            strand = "-" if row.strand == "+" else "+"
            assert row.on_target == f"c:{start - low - 27}-{start - low}({strand})"

    def test_a_spliced_record_is_known_by_its_exons(self, tmp_path):
        exons = ["GC" + f"TTTA{random_bases(23)}" * 1 + "CGC" + f"TTTC{random_bases(23)}GC" for _ in range(2)]
        genome = write_fasta(tmp_path / "g.fa", {"c": random_bases(50) + exons[0] + random_bases(90) + exons[1]})
        table = guide_table(write_fasta(tmp_path / "cdna.fa", {"t": "".join(exons)}), model=model(), genome=genome)
        assert (table.on_target != "").sum() >= 4

    def test_a_genome_without_the_record_is_said(self, tmp_path):
        gene = "GCGC" + "".join(f"TTTA{random_bases(23)}GCC" for _ in range(4))
        piece = gene[4:34]  # one guide of four is there all the same
        genome = write_fasta(tmp_path / "g.fa", {"c": random_bases(90) + piece + random_bases(50)})
        out = tmp_path / "o.tsv"
        report = score_guides(write_fasta(tmp_path / "a.fa", {"a": gene}), out, model=model(), genome=genome)
        assert any("records are not in the genome" in line and "'a'" in line for line in report.lines())
        table = pd.read_csv(out, sep="\t", na_filter=False)
        whole = table[table["rank"] != ""]
        assert (whole.on_target == "").all() and whole.off_targets_0.astype(int).sum() == 1

    def test_several_genomes_and_a_table_of_targets(self, planted, tmp_path):
        gene, genome, contigs, _ = planted
        other = write_fasta(tmp_path / "other.fa", {"one": contigs["two"]})
        first = guide_table(gene, model=model(), genome=genome)
        both = guide_table(gene, model=model(), genome=[genome, other])
        assert (both.off_targets_2.sum() > first.off_targets_2.sum()) and both.on_target[0].startswith(
            "genome.fa/one:"
        )
        targets = first[["protospacer", "context"]].rename(columns={"protospacer": "id", "context": "target"})
        targets = targets[~targets.target.str.contains("N")]
        targets.to_csv(tmp_path / "t.csv", index=False)
        table = guide_table(tmp_path / "t.csv", model=model(), genome=genome).set_index("id")
        again = first.set_index("protospacer").loc[table.index]
        for number in range(5):
            assert table[f"off_targets_{number}"].tolist() == again[f"off_targets_{number}"].tolist()
        with pytest.raises(ValueError, match="is named twice"):
            guide_table(gene, model=model(), genome=[genome, genome])

    def test_uniform_and_weighted(self, planted):
        gene, genome, _, _ = planted
        weighted, uniform = (
            guide_table(gene, model=model(), genome=genome, weighting=way).set_index("protospacer")
            for way in ("weighted", "uniform")
        )
        assert not np.allclose(weighted.specificity, uniform.loc[weighted.index].specificity)
        with pytest.raises(ValueError, match="weighting must be one of weighted, uniform"):
            guide_table(gene, model=model(), genome=genome, weighting="cfd")

    def test_resume_gives_the_same_tables(self, planted, tmp_path, monkeypatch):
        gene, genome, _, _ = planted
        options = {"model": model(), "genome": genome, "index": tmp_path}
        score_guides(gene, tmp_path / "a.tsv", off_target_table=tmp_path / "a_hits.tsv", **options)
        import seqformers.guides.score as score

        real = score.score_sites
        monkeypatch.setattr(score, "score_sites", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score_guides(gene, tmp_path / "b.tsv", off_target_table=tmp_path / "b_hits.tsv", **options)
        assert not (tmp_path / "b_hits.tsv").exists()
        monkeypatch.setattr(score, "score_sites", real)
        score_guides(gene, tmp_path / "b.tsv", off_target_table=tmp_path / "b_hits.tsv", resume=True, **options)
        for name in ("{}.tsv", "{}_hits.tsv"):
            assert (tmp_path / name.format("a")).read_bytes() == (tmp_path / name.format("b")).read_bytes()
        with pytest.raises(ValueError, match="other settings"):
            score_guides(gene, tmp_path / "b.tsv", resume=True, **options, mismatches=3)


class TestIndex:
    def test_kept_beside_the_genome_and_refused_when_that_changed(self, planted, tmp_path, monkeypatch):
        gene, _, contigs, text = planted
        genome = write_fasta(tmp_path / "g.fa", contigs)
        guide_table(gene, model=model(), genome=genome)
        folder = tmp_path / "g.fa.TTTV.guide-sites"
        made = (folder / "sites.u64").stat().st_mtime_ns
        guide_table(gene, model=model(), genome=genome)
        assert (folder / "sites.u64").stat().st_mtime_ns == made, "built twice"
        stat = genome.stat()
        changed = {**contigs, "one": contigs["one"].replace(text, mutated(text, {44}))}
        write_fasta(genome, changed)  # as long as before, and as old
        os.utime(genome, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        remarks = Remarks()
        open_index(genome, Pam("TTTV"), remarks=remarks)
        assert "built again: g.fa.TTTV.guide-sites is of another content of g.fa" in remarks.lines()[0]
        assert (folder / "sites.u64").stat().st_mtime_ns != made

    def test_compressed_is_the_same(self, planted, tmp_path):
        gene, genome, _, _ = planted
        packed = tmp_path / "genome.fa.gz"
        packed.write_bytes(gzip.compress(genome.read_bytes()))
        pd.testing.assert_frame_equal(
            guide_table(gene, model=model(), genome=genome, index=tmp_path),
            guide_table(gene, model=model(), genome=packed, index=tmp_path),
        )

    @pytest.mark.parametrize("torn", ["sites.u64", "at.u32", "index.json", "odd.npz"])
    def test_a_torn_index_is_built_again(self, planted, tmp_path, torn):
        gene, _, contigs, _ = planted
        genome = write_fasta(tmp_path / "g.fa", contigs)
        whole = guide_table(gene, model=model(), genome=genome)
        path = tmp_path / "g.fa.TTTV.guide-sites" / torn
        path.write_bytes(path.read_bytes()[:-5])
        with pytest.warns(UserWarning, match="is torn"):
            again = guide_table(gene, model=model(), genome=genome)
        pd.testing.assert_frame_equal(whole, again)

    def test_a_killed_build_leaves_nothing_half_used(self, planted, tmp_path, monkeypatch):
        gene, _, contigs, _ = planted
        genome = write_fasta(tmp_path / "g.fa", {**contigs, **{f"c{n}": random_bases(400) for n in range(100)}})
        real = genome_index.pack_sites

        def slowly():
            genome_index.pack_sites = lambda *given: (time.sleep(0.02), real(*given))[1]
            open_index(genome, Pam("TTTV"))

        part = tmp_path / "g.fa.TTTV.guide-sites.partial"
        assert run_and_kill(slowly, part / "sites.u64", [0.1]) == 1
        assert part.exists() and not (tmp_path / "g.fa.TTTV.guide-sites").exists()
        table = guide_table(gene, model=model(), genome=genome)
        assert not part.exists() and (table.on_target != "").any()
        pd.testing.assert_frame_equal(table, guide_table(gene, model=model(), genome=genome, index=tmp_path / "new"))

    def test_bad_genomes(self, planted, tmp_path, capfd):
        gene = planted[0]
        cases = {
            "missing.fa": (None, FileNotFoundError, "missing.fa"),
            "empty.fa": ("", ValueError, "empty"),
            "protein.fa": (">p\nMKVLEEQPFILM\n", ValueError, "record 'p'"),
            "twice.fa": (">c\nACGT\n>c\nACGT\n", ValueError, "comes twice"),
            "bare.fa": (">c\n>d\n", ValueError, "no letters|empty"),
        }
        for name, (text, kind, message) in cases.items():
            if text is not None:
                (tmp_path / name).write_text(text)
            with pytest.raises(kind, match=message):
                guide_table(gene, model=model(), genome=tmp_path / name)
            assert not (tmp_path / f"{name}.TTTV.guide-sites").exists()

    def test_a_genome_without_sites_is_said(self, planted, tmp_path):
        genome = write_fasta(tmp_path / "g.fa", {"c": "GC" * 60})
        report = score_guides(planted[0], tmp_path / "o.tsv", model=model(), genome=genome)
        assert any("genomes without a TTTV site" in line for line in report.lines())

    def test_a_folder_that_cannot_be_written_names_the_fix(self, planted, tmp_path, monkeypatch):
        monkeypatch.setattr(
            genome_index, "Output", lambda *a, **k: (_ for _ in ()).throw(PermissionError(13, "denied"))
        )
        with pytest.raises(ValueError, match="name a folder with --index"):
            guide_table(planted[0], model=model(), genome=write_fasta(tmp_path / "g.fa", planted[2]))


class TestCommand:
    def test_off_targets_end_to_end(self, planted, tmp_path):
        gene, genome, _, _ = planted
        words = [
            "score-guides", gene, "-o", tmp_path / "o.tsv", "--genome", genome, "--index", tmp_path, "--rank", "both",
            "--off-target-table", tmp_path / "h.tsv", "--model", "fast", "--track", tmp_path / "t.png",
        ]  # fmt: skip
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        assert "model fast" in done.output and (tmp_path / "h.tsv").is_file() and (tmp_path / "t.png").is_file()
        table = pd.read_csv(tmp_path / "o.tsv", sep="\t")
        value = table.score.clip(lower=0) * table.specificity
        assert value.is_monotonic_decreasing and table["rank"].tolist() == list(range(1, len(table) + 1))
        assert json.loads((Path(tmp_path) / ".o.tsv.seqformers.json").read_text())["settings"]["rank"] == "both"

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--rank", "both"], "name a genome with --genome"),
            (["--off-target-table", "h.tsv", "-o", "o.tsv"], "name it with --genome"),
            (["--genome", "nowhere.fa"], "nowhere.fa"),
        ],
    )
    def test_what_is_missing_is_named(self, planted, tmp_path, monkeypatch, words, message):
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, ["score-guides", str(planted[0]), "--model", "fast", *words])
        assert done.exit_code != 0 and message in str(done.exception or done.output)
