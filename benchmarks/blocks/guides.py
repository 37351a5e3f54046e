"""Blocks of Cpf1 guides."""

from __future__ import annotations

from benchmarks.blocks.markdown import about, result_of, table_lines, with_spread

__all__ = ["guides", "guides_example", "guides_in_short"]


def guides() -> str:
    """Spearman's correlation of Cpf1 guide models, the most telling rows."""
    found = result_of("deepcpf1_models")
    if found is None:
        return "Not measured yet."
    names = {
        "packaged": "`--model fast`, packaged",
        "published_weights": "published weights, converted",
        "paper": "the paper's network, trained here, 3 seeds",
        "boosted_trees": "boosted trees on the field's features",
        "transformer_6": "6-mer transformer, 3 seeds",
        "pam_alone": "PAM alone",
    }
    scores = found["result"]["rows"]
    rows = [
        [
            title,
            *(
                with_spread(scores[name][data]["spearman"], scores[name][data].get("sd"))
                for data in ("ht_1_2", "ht_2")
            ),
        ]
        for name, title in names.items()
    ]
    best = result_of("deepcpf1_best")
    if best:
        row = best["result"]["rows"]["best"]
        rows.insert(
            0, ["`--model best`, packaged", *(with_spread(row[data]["spearman"], None) for data in ("ht_1_2", "ht_2"))]
        )
    lines = [*table_lines(["Spearman", "HT 1-2", "HT 2"], rows), "", about(found)]
    return "\n".join([*lines, *([about(best)] if best else [])])


def guides_in_short() -> str:
    """Three of them, and the picture."""
    return guides_example(rows=3)


def guides_example(rows: int | None = None) -> str:
    """The best guides of a gene with their off-targets."""
    found = result_of("guides_example")
    if found is None:
        return "Not measured yet."
    result = found["result"]
    counts = [name for name in result["rows"][0] if name.startswith("off_targets_")]
    cells = [
        [str(row["rank"]), f"{row['cut_start']:,}", f"`{row['protospacer']}`", f"{row['score']:.1f}",
         "/".join(str(row[name]) for name in counts), f"{row['specificity']:.1f}"]
        for row in result["rows"][:rows]
    ]  # fmt: skip
    heading = [
        "rank",
        "cut",
        "protospacer",
        "indels, %",
        f"off-targets, 0 to {len(counts) - 1} mismatches",
        "specificity",
    ]
    said = (
        f"The longest frame of phage {result['phage']} in {result['genomes']} phages "
        f"({result['bases'] / 1e6:.0f} Mb) with `--genome phages.fa --rank both --no-poly-t "
        "--genes frame.gff3 --track guides.png`:"
    )
    return "\n".join(
        [said, "", *table_lines(heading, cells), "", "![guides along the gene](docs/pictures/guides_off_targets.png)"]
    )
