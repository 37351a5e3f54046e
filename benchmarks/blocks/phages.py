"""Blocks of the phage detector."""

from __future__ import annotations

from benchmarks.blocks.markdown import about, result_of, table_lines, with_range, with_signs

__all__ = ["detector_in_short", "phage_detector", "phage_regions"]


def phage_detector() -> str:
    """Phages against hosts and other viruses, by length, on groups that training had not seen."""
    found = result_of("phage_detector")
    if found is None:
        return "Not measured yet."
    methods = ["detector", "6-mer regression", "5-mer regression", "GC only"]
    names = {
        "auroc_hosts_by_score": "AUROC of `score_phage`, phage against host",
        "auroc_hosts": "AUROC of phage score minus host score",
        "sensitivity_hosts": "found at 1 % false",
        "macro_recall_phage_virus": "macro recall, phage and other virus",
    }
    lines = [f"| nt | method | {' | '.join(names.values())} |", "|---|---|---|---|---|---|"]
    for length in found["result"]["table"]["detector"]:
        for method in methods:
            row = found["result"]["table"][method][length]
            cells = ["{:.3f} ({:.3f}-{:.3f})".format(*row[name]) for name in names]
            lines.append(f"| {int(length):,} | {method} | {' | '.join(cells)} |")
    phyla = found["result"]["unseen_phyla"]
    alone = ", ".join(f"{name} {row['auroc_3000']:.3f} ({row['contigs']} contigs)" for name, row in phyla.items())
    said = f"(95 % of a bootstrap over groups of genomes.) Hosts of phyla not in training, 3,000 nt, AUROC: {alone}."
    first = "\n".join([*lines, "", f"{said} {about(found)}"])
    parts = (first, _detector_folds(), _detector_peers(), _detector_networks(), _detector_training())
    return "\n\n".join(part for part in parts if part)


def _detector_folds() -> str:
    """The detector on genera and phyla that training had not seen, from more folds."""
    found = result_of("phage_folds")
    if found is None:
        return ""
    result, rows = found["result"], []
    titles = {
        "third": "a third of the groups unseen",
        "genus": "a fifth of the groups unseen",
        "phylum": "whole phyla of hosts unseen",
    }
    names = ["auroc_hosts_by_score", "auroc_hosts", "sensitivity_hosts", "macro_recall_phage_virus", "recall_plasmid"]
    orders = ["auroc_hosts_by_score", "auroc_hosts"]
    for by in (by for by in titles if by in result):
        for seed, table in result[by]["table"].items():
            for length, row in table.items():
                title = titles[by] + (f", {seed}" if len(result[by]["table"]) > 1 else "")
                mean = result[by]["mean_of_folds"][seed][length]
                cells = [*(with_range(mean[name]) for name in orders), *(with_range(row[name]) for name in names)]
                rows.append([f"{int(length):,}", title, *cells])
    head = ["nt", "trained with", "AUROC of `score_phage`, mean of folds", "of phage minus host, mean of folds",
            "AUROC of `score_phage`", "of phage minus host", "found at 1 % false", "macro recall, phage and virus",
            "recall of plasmids"]  # fmt: skip
    said = (
        "The same contigs by what training had not seen. A mean of folds asks how one network orders contigs, as it "
        "does those of a user; the columns after it put the scores of all folds, so of several networks, in one order:"
    )
    parts = ["\n".join([said, "", *table_lines(head, rows)])]
    if phyla := result.get("phylum", {}).get("hosts_of"):
        peers = (result_of("phage_peers") or {}).get("result", {}).get("phyla", {})
        tools = {"jaeger": "Jaeger", "genomad": "geNomad's network"}
        rows = []
        for length, table in phyla.items():
            for phylum, row in table.items():
                cells = [with_range(row["auroc"])]
                for tool in tools:
                    theirs = peers.get(length, {}).get(tool, {}).get(phylum)
                    cells += [with_range(theirs["tool"]), with_signs(theirs["gain"])] if theirs else ["", ""]
                rows.append([f"{int(length):,}", phylum, f"{row['hosts']} of {row['host_groups']}", *cells])
        head = ["nt", "phylum", "hosts, of genera", "AUROC, unseen in training"]
        head += [title for tool in tools.values() for title in (tool, f"detector above {tool} by")]
        said = (
            "Phages against the hosts of one phylum; the network had seen neither these nor those phages (other tools "
            "may have; a difference is of the contigs that the tool was given, with 95 % of a bootstrap "
            "over groups):"
        )
        parts.append("\n".join([said, "", *table_lines(head, rows)]))
    return "\n\n".join([*parts, about(found)])


def _detector_peers() -> str:
    """Other tools and the detector on the same contigs."""
    found = result_of("phage_peers")
    if found is None:
        return ""
    titles = {"jaeger": "Jaeger", "genomad": "geNomad's network"}
    names = ["auroc", "auroc_bacterium", "auroc_archaeon", "sensitivity", "macro_recall"]
    rows = []
    for length, tools in ((key, value) for key, value in found["result"].items() if key.isdigit()):
        for tool in (tool for tool in titles if tool in tools):
            row, nt = tools[tool], f"{int(length):,}"
            cost = [f"{row['seconds_per_megabase']:.1f}", f"{row['mb']:,}"]
            rows.append([nt, titles[tool], f"{row['contigs']:,}", *(with_range(row[name]) for name in names), *cost])
            own = tools.get("seqformers")
            cost = [f"{own['seconds_per_megabase']:.1f}", f"{own['mb']:,}"] if own else ["", ""]
            for key, share in (("thirds", "third"), ("fifths", "fifth")):
                if key in row:
                    cells = [with_range(row[key][name]) for name in names]
                    rows.append([nt, f"detector, a {share} unseen", "the same", *cells, *cost])
    head = ["nt", "tool", "contigs", "AUROC, phage against host", "bacteria", "archaea", "found at 1 % false",
            "macro recall", "s a Mb, one core", "MB"]  # fmt: skip
    said = (
        "Beside other tools, on the same contigs (the difference of phage, or virus, and host score; both tools were "
        "probably trained on many of these genomes, which cannot be told apart here):"
    )
    lines = [said, "", *table_lines(head, rows)]
    plasmids = [
        f"{titles[tool]} {with_range(row['tool'])}, the detector on the same contigs {with_range(row['detector'])} "
        f"({int(length):,} nt, {row['phages']:,} phages, {row['plasmids']:,} plasmids)"
        for length, table in found["result"].get("plasmids", {}).items()
        if length.isdigit()
        for tool, row in table.items()
    ]
    lines += ["", f"Phages against plasmids, AUROC: {'; '.join(plasmids)}."] if plasmids else []
    return "\n".join([*lines, "", about(found)])


def _detector_networks() -> str:
    """Networks that could stand in the detector."""
    found = result_of("phage_networks")
    if found is None:
        return ""
    rows = []
    for name, row in found["result"]["networks"].items():
        cells = [with_range(table["auroc_hosts_by_score"]) for table in row["table"].values()]
        recall = with_range(row["table"]["1000"]["macro_recall_phage_virus"])
        cost = f"{row['scoring_seconds_per_megabase']:.1f}"
        rows.append([name, f"{row['parameters']:,}", f"{row['reads']:,}", *cells, recall, cost])
    head = ["network", "weights", "reads seen", *(f"AUROC, {nt} nt" for nt in ("500", "1,000", "3,000", "10,000")),
            "macro recall, phage and virus, 1,000 nt", "s a Mb, one core"]  # fmt: skip
    said = (
        f"Networks trained for {found['result']['seconds']:.0f} s of one core each on the reads of two folds, and "
        "measured on the third, phage against host by the phage score (before calibration, one seed):"
    )
    return "\n".join([said, "", *table_lines(head, rows), "", about(found)])


def _detector_training() -> str:
    """Other trainings of the shipped network: seeds, reads, pretraining."""
    found = result_of("phage_training")
    if found is None:
        return ""
    titles = {"validation": "validation groups", "test": "groups of the fold"}
    rows = []
    for place, arms in found["result"].items():
        for name, arm in arms.items():
            lengths = [key for key in arm if key.isdigit()]
            cells = [with_range(arm[length]["auroc_hosts_by_score"]) for length in lengths]
            gains = [
                with_signs(arm[length]["auroc_hosts_by_score_gain"])
                for length in lengths
                if length in ("1000", "10000")
            ]
            folds = ", ".join(str(fold) for fold in arm["folds"])
            rows.append([titles[place], name, folds, *cells, *(gains if name != "recipe" else [""] * len(gains))])
    head = ["measured on", "training", "folds", *(f"AUROC, {nt} nt" for nt in ("500", "1,000", "3,000", "10,000")),
            "above the recipe, 1,000 nt", "above the recipe, 10,000 nt"]  # fmt: skip
    said = "Other trainings of the same network, phage against host by the phage score, before calibration:"
    return "\n".join([said, "", *table_lines(head, rows), "", about(found)])


def phage_regions() -> str:
    """Proviruses: whole phages put into chromosomes, and the regions of chromosomes without a mark."""
    found = result_of("phage_regions")
    if found is None:
        return "Not measured yet."
    result = found["result"]
    head = [
        "preset",
        "found (half of it)",
        "letters covered",
        "an end is off by",
        "other regions a Mb",
        "without a mark a Mb",
    ]
    rows = []
    for preset in ("strict", "default", "relaxed"):
        there, marked = result[preset]["put_in"], result[preset]["marked"]
        shares = ["{:.2f} ({:.2f}-{:.2f})".format(*there[name]) for name in ("found", "letters_covered")]
        off = f"{there['median_nt_that_an_end_is_off']:,.0f} nt (median)"
        others = [f"{there['regions_elsewhere_a_megabase']:.1f}", f"{marked['regions_without_a_mark_a_megabase']:.1f}"]
        rows.append([preset, *shares, off, *others])
    phages = result["default"]["put_in"]
    said = (
        f"{phages['phages']} whole phages of {phages['groups']} groups put into chromosomes of unseen genera "
        f"(real proviruses are older: an upper bound), and {result['chromosomes']} chromosomes, "
        f"{result['megabases']:.0f} Mb:"
    )
    return "\n".join([said, "", *table_lines(head, rows), "", about(found)])


def detector_in_short() -> str:
    """The phage detector beside the best shortcut and other tools, a row a length."""
    found = result_of("phage_detector")
    if found is None:
        return "Not measured yet."
    table, peers = found["result"]["table"], (result_of("phage_peers") or {}).get("result", {})
    folds = (result_of("phage_folds") or {}).get("result", {})
    means = {by: found["mean_of_folds"]["seed 0"] for by, found in folds.items() if by in ("third", "genus")}
    names = {
        "auroc_hosts_by_score": "AUROC of `score_phage`, phage against host",
        "macro_recall_phage_virus": "macro recall, phage and virus",
    }
    tools = {"jaeger": "Jaeger", "genomad": "geNomad's network"}
    titles = {"third": "the same, mean of folds", "genus": "mean of folds, a fifth unseen"}
    auroc, recall = names.values()
    head = ["nt", auroc, *(titles[by] for by in means), recall, "6-mer regression, AUROC and recall"]
    head += [f"{tool}, AUROC" for tool in tools.values()]
    rows = []
    for length, row in table["detector"].items():
        first, last = (with_range(row[name]) for name in names)
        cells = [first, *(with_range(mean[length]["auroc_hosts_by_score"]) for mean in means.values()), last]
        cells.append("{:.3f}, {:.3f}".format(*(table["6-mer regression"][length][name][0] for name in names)))
        for tool in tools:
            theirs = peers.get(length, {}).get(tool, {}).get("auroc")
            cells.append("{:.3f} ({:.3f}-{:.3f})".format(*theirs) if theirs else "")
        rows.append([f"{int(length):,}", *cells])
    note = (
        "(95 % of a bootstrap over groups of genomes; a third of them unseen at a time. A mean of folds is of "
        "one network each. The other tools were probably trained on many of these genomes, and do not tell phages "
        "from other viruses. Aimed at: AUROC 0.97 at 3,000 nt and 0.99 at 10,000 nt, recall 0.95 at 1,000 nt.)"
    )
    return "\n".join([*table_lines(head, rows), "", f"{note} {about(found)}"])
