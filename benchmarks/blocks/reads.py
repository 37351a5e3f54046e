"""Blocks of phage reads, of the demo, and of families that read DNA."""

from __future__ import annotations

from typing import Any

from benchmarks.blocks.markdown import about, result_of

__all__ = ["demo_in_short", "families", "phage", "reads_in_short"]


def demo_in_short() -> str:
    """What `make demo` shows, in a sentence."""
    found = result_of("demo")
    if found is None:
        return "Not measured yet."
    networks, shortcuts = found["result"]["networks"], found["result"]["shortcuts"]
    said = {name: f"{row['mean']:.3f} ± {row['sd']:.3f}" for name, row in networks.items()}
    return (
        f"Its network has {said['run']} macro recall after pretraining and {said['scratch']} from scratch (reads of "
        f"150 nt, unseen families, three seeds), a regression on 4-mers of the same reads "
        f"{shortcuts['kmer_4_logistic']:.3f}, on 6-mers {shortcuts['kmer_6_logistic']:.3f}. {about(found)}"
    )


def phage() -> str:
    """The table of phage reads."""
    found = result_of("virbert_arms")
    if found is None:
        return "Not measured yet."
    from benchmarks.tables.virbert import name_of_cell, short_lines
    from benchmarks.tables.virbert_verdicts import verdict_lines

    lines = [*short_lines(found["result"]), "", *verdict_lines(found["result"], name_of_cell), "", about(found)]
    return "\n".join(lines)


def reads_in_short(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Reads of phages and other viruses: the frozen encoder after genome contrast, and what stands beside it."""
    lines = []
    for length in (150, 1000):
        key = (length, "matched", 1.0)
        own = {r["method"]: r for r in rows if (r["length"], r["variant"], r["fraction"]) == key}
        spreads = (own[name]["seeds"]["macro_recall"] for name in ("profile-contrast", "kmer6", "profile-scratch"))
        frozen, regression, scratch = (
            f"{spread['mean']:.3f}" + (f" ± {spread['sd']:.3f}" if spread["sd"] else "") for spread in spreads
        )
        what = f"phage reads of {length:,} nt, GC-matched, {own['kmer6']['labelled']:,} labels"
        lines.append([what, "macro recall", frozen, f"6-mer regression {regression}, from scratch {scratch}"])
    return lines


def families() -> str:
    """Families that read DNA side by side: what the table says in short, and trained networks by task."""
    found = result_of("families")
    if found is None:
        return "Not measured yet."
    from benchmarks.tables.families_page import in_short, summary

    result = found["result"]
    return "\n".join([*in_short(result), "", *summary(result, "recipes"), "", about(found)])
