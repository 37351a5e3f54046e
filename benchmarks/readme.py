"""Fill the numbers of README.md and RESULTS.md from `results/*.json`: `python -m benchmarks.readme`.

A block between `<!-- NAME -->` and `<!-- /NAME -->` is replaced by what the function of that name in `BLOCKS` returns.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks._results import RESULTS, ROOT, commit_of

__all__ = ["BLOCKS", "PAGES", "SHORT", "below_one_hot", "filled", "filled_page"]


def _result(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _about(found: dict[str, Any]) -> str:
    return f"<sub>`{found['command']}`, commit {commit_of(found)}, {found['device']}.</sub>"


def demo_in_short() -> str:
    """What `make demo` shows, in a sentence."""
    found = _result("demo")
    if found is None:
        return "Not measured yet."
    networks, shortcuts = found["result"]["networks"], found["result"]["shortcuts"]
    said = {name: f"{row['mean']:.3f} ± {row['sd']:.3f}" for name, row in networks.items()}
    return (
        f"Its network has {said['run']} macro recall after pretraining and {said['scratch']} from scratch (reads of "
        f"150 nt, unseen families, three seeds), a regression on 4-mers of the same reads "
        f"{shortcuts['kmer_4_logistic']:.3f}, on 6-mers {shortcuts['kmer_6_logistic']:.3f}. {_about(found)}"
    )


def phage() -> str:
    """The table of phage reads."""
    found = _result("virbert_arms")
    if found is None:
        return "Not measured yet."
    from benchmarks.tables.virbert import name_of_cell, short_lines
    from benchmarks.tables.virbert_verdicts import verdict_lines

    lines = [*short_lines(found["result"]), "", *verdict_lines(found["result"], name_of_cell), "", _about(found)]
    return "\n".join(lines)


def phage_detector() -> str:
    """Phages against hosts and other viruses, by length, on groups that training had not seen."""
    found = _result("phage_detector")
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
    first = "\n".join([*lines, "", f"{said} {_about(found)}"])
    parts = (first, _detector_folds(), _detector_peers(), _detector_networks(), _detector_training())
    return "\n\n".join(part for part in parts if part)


def _interval(value: list[float]) -> str:
    return "{:.3f} ({:.3f}-{:.3f})".format(*value)


def _gain(value: list[float]) -> str:
    return "{:+.3f} ({:+.3f} to {:+.3f})".format(*value)


def _detector_folds() -> str:
    """The detector on genera and phyla that training had not seen, from more folds."""
    found = _result("phage_folds")
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
                cells = [*(_interval(mean[name]) for name in orders), *(_interval(row[name]) for name in names)]
                rows.append([f"{int(length):,}", title, *cells])
    head = ["nt", "trained with", "AUROC of `score_phage`, mean of folds", "of phage minus host, mean of folds",
            "AUROC of `score_phage`", "of phage minus host", "found at 1 % false", "macro recall, phage and virus",
            "recall of plasmids"]  # fmt: skip
    said = (
        "The same contigs by what training had not seen. A mean of folds asks how one network orders contigs, as it "
        "does those of a user; the columns after it put the scores of all folds, so of several networks, in one order:"
    )
    parts = ["\n".join([said, "", *_table(head, rows)])]
    if phyla := result.get("phylum", {}).get("hosts_of"):
        peers = (_result("phage_peers") or {}).get("result", {}).get("phyla", {})
        tools = {"jaeger": "Jaeger", "genomad": "geNomad's network"}
        rows = []
        for length, table in phyla.items():
            for phylum, row in table.items():
                cells = [_interval(row["auroc"])]
                for tool in tools:
                    theirs = peers.get(length, {}).get(tool, {}).get(phylum)
                    cells += [_interval(theirs["tool"]), _gain(theirs["gain"])] if theirs else ["", ""]
                rows.append([f"{int(length):,}", phylum, f"{row['hosts']} of {row['host_groups']}", *cells])
        head = ["nt", "phylum", "hosts, of genera", "AUROC, unseen in training"]
        head += [title for tool in tools.values() for title in (tool, f"detector above {tool} by")]
        said = (
            "Phages against the hosts of one phylum; the network had seen neither these nor those phages (other tools "
            "may have; a difference is of the contigs that the tool was given, with 95 % of a bootstrap "
            "over groups):"
        )
        parts.append("\n".join([said, "", *_table(head, rows)]))
    return "\n\n".join([*parts, _about(found)])


def _detector_peers() -> str:
    """Other tools and the detector on the same contigs."""
    found = _result("phage_peers")
    if found is None:
        return ""
    titles = {"jaeger": "Jaeger", "genomad": "geNomad's network"}
    names = ["auroc", "auroc_bacterium", "auroc_archaeon", "sensitivity", "macro_recall"]
    rows = []
    for length, tools in ((key, value) for key, value in found["result"].items() if key.isdigit()):
        for tool in (tool for tool in titles if tool in tools):
            row, nt = tools[tool], f"{int(length):,}"
            cost = [f"{row['seconds_per_megabase']:.1f}", f"{row['mb']:,}"]
            rows.append([nt, titles[tool], f"{row['contigs']:,}", *(_interval(row[name]) for name in names), *cost])
            own = tools.get("seqformers")
            cost = [f"{own['seconds_per_megabase']:.1f}", f"{own['mb']:,}"] if own else ["", ""]
            for key, share in (("thirds", "third"), ("fifths", "fifth")):
                if key in row:
                    cells = [_interval(row[key][name]) for name in names]
                    rows.append([nt, f"detector, a {share} unseen", "the same", *cells, *cost])
    head = ["nt", "tool", "contigs", "AUROC, phage against host", "bacteria", "archaea", "found at 1 % false",
            "macro recall", "s a Mb, one core", "MB"]  # fmt: skip
    said = (
        "Beside other tools, on the same contigs (the difference of phage, or virus, and host score; both tools were "
        "probably trained on many of these genomes, which cannot be told apart here):"
    )
    lines = [said, "", *_table(head, rows)]
    plasmids = [
        f"{titles[tool]} {_interval(row['tool'])}, the detector on the same contigs {_interval(row['detector'])} "
        f"({int(length):,} nt, {row['phages']:,} phages, {row['plasmids']:,} plasmids)"
        for length, table in found["result"].get("plasmids", {}).items()
        if length.isdigit()
        for tool, row in table.items()
    ]
    lines += ["", f"Phages against plasmids, AUROC: {'; '.join(plasmids)}."] if plasmids else []
    return "\n".join([*lines, "", _about(found)])


def _detector_networks() -> str:
    """Networks that could stand in the detector."""
    found = _result("phage_networks")
    if found is None:
        return ""
    rows = []
    for name, row in found["result"]["networks"].items():
        cells = [_interval(table["auroc_hosts_by_score"]) for table in row["table"].values()]
        recall = _interval(row["table"]["1000"]["macro_recall_phage_virus"])
        cost = f"{row['scoring_seconds_per_megabase']:.1f}"
        rows.append([name, f"{row['parameters']:,}", f"{row['reads']:,}", *cells, recall, cost])
    head = ["network", "weights", "reads seen", *(f"AUROC, {nt} nt" for nt in ("500", "1,000", "3,000", "10,000")),
            "macro recall, phage and virus, 1,000 nt", "s a Mb, one core"]  # fmt: skip
    said = (
        f"Networks trained for {found['result']['seconds']:.0f} s of one core each on the reads of two folds, and "
        "measured on the third, phage against host by the phage score (before calibration, one seed):"
    )
    return "\n".join([said, "", *_table(head, rows), "", _about(found)])


def _detector_training() -> str:
    """Other trainings of the shipped network: seeds, reads, pretraining."""
    found = _result("phage_training")
    if found is None:
        return ""
    titles = {"validation": "validation groups", "test": "groups of the fold"}
    rows = []
    for place, arms in found["result"].items():
        for name, arm in arms.items():
            lengths = [key for key in arm if key.isdigit()]
            cells = [_interval(arm[length]["auroc_hosts_by_score"]) for length in lengths]
            gains = [
                _gain(arm[length]["auroc_hosts_by_score_gain"]) for length in lengths if length in ("1000", "10000")
            ]
            folds = ", ".join(str(fold) for fold in arm["folds"])
            rows.append([titles[place], name, folds, *cells, *(gains if name != "recipe" else [""] * len(gains))])
    head = ["measured on", "training", "folds", *(f"AUROC, {nt} nt" for nt in ("500", "1,000", "3,000", "10,000")),
            "above the recipe, 1,000 nt", "above the recipe, 10,000 nt"]  # fmt: skip
    said = "Other trainings of the same network, phage against host by the phage score, before calibration:"
    return "\n".join([said, "", *_table(head, rows), "", _about(found)])


def phage_regions() -> str:
    """Proviruses: whole phages put into chromosomes, and the regions of chromosomes without a mark."""
    found = _result("phage_regions")
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
    return "\n".join([said, "", *_table(head, rows), "", _about(found)])


def detector_in_short() -> str:
    """The phage detector beside the best shortcut and other tools, a row a length."""
    found = _result("phage_detector")
    if found is None:
        return "Not measured yet."
    table, peers = found["result"]["table"], (_result("phage_peers") or {}).get("result", {})
    folds = (_result("phage_folds") or {}).get("result", {})
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
        first, last = (_interval(row[name]) for name in names)
        cells = [first, *(_interval(mean[length]["auroc_hosts_by_score"]) for mean in means.values()), last]
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
    return "\n".join([*_table(head, rows), "", f"{note} {_about(found)}"])


def in_short() -> str:
    """One row a task: the packaged model, and what stands beside it."""
    rows = []
    if found := _result("pair_cnn"):
        test = found["result"]["tests"]["clash2013_eval"]["models"]
        ours = next(row for name, row in test.items() if name.startswith("packaged: "))
        other = test["duplex energy (RNAduplex)"]
        name = "auroc_within_mirna"
        shown = f"{ours[name]:.3f} ({ours['interval'][name][0]:.3f}-{ours['interval'][name][1]:.3f})"
        rows.append(["miRNA target sites, CLASH", "AUROC within miRNAs", shown, f"duplex energy {other[name]:.3f}"])
    best, models = _result("deepcpf1_best"), _result("deepcpf1_models")
    if best and models:
        ours, other = best["result"]["rows"]["best"]["ht_2"], models["result"]["rows"]["boosted_trees"]["ht_2"]
        known = f"boosted trees on the field's features {other['spearman']:.3f}"
        rows.append(["Cpf1 guides, HT 2", "Spearman", f"{ours['spearman']:.3f}", known])
    if found := _result("annotator"):
        for task, metric, title in (("structure", "q3", "Q3"), ("signal", "mcc", "MCC")):
            arms = found["result"]["tests"][task]["arms"]
            ours, other = arms["packaged"], arms["one-hot linear"]
            shown = f"{ours['metrics'][metric]:.3f} ± {ours['sd'][metric]:.3f}"
            what = {"structure": "secondary structure, CB513", "signal": "signal peptides"}[task]
            rows.append([what, title, shown, f"one-hot linear {other['metrics'][metric]:.3f}"])
    if found := _result("virbert_arms"):
        rows += _reads_in_short(found["result"]["rows"])
    return "\n".join(_table(["model for", "measure", "here", "beside it"], rows))


def _reads_in_short(rows: list[dict[str, Any]]) -> list[list[str]]:
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


def speed() -> str:
    """One line a benchmark of speed."""
    lines = ["| what | rate | against |", "|---|---|---|"]
    found = _result("speed_tokenize")
    if found:
        rates, ratios = found["result"]["rates"], found["result"]["times_faster_than"]
        ours = rates["seqformers KmerTokenizer"]["million_nt_per_s"]
        others = "; ".join(
            f"{ratio:,.0f} × {name}"
            for name, ratio in ratios.items()
            if "seqformers" not in name and "copy" not in name
        )
        lines.append(f"| 6-mer tokenizing, one core | {ours:,.0f} million nt/s | {others} |")
        collator = found["result"]["collator"]["collator, batch of 64"]["million_tokens_per_s"]
        lines.append(f"| masking in base space | {collator:,.0f} million tokens/s | |")
    for name, row in SPEED_ROWS.items():
        found = _result(name)
        if found:
            lines.append(row(found["result"]))
    return "\n".join(lines)


def targets() -> str:
    """Scores of miRNA target models; F1 is the mean over folds where a set has them."""
    found = _result("targetnet")
    if found is None:
        return "Not measured yet."
    tests = found["result"]["tests"]
    names = [
        "packaged",
        "published",
        "miRNA only",
        "miRNA only, of half the test",
        "seed rule: 6mer",
        "always a target",
    ]
    keys = ("f1", "auroc", "auroc_within_mirna")
    rows = [
        [name, *(" / ".join(f"{test['models'][name][key]:.3f}" for key in keys) for test in tests.values())]
        for name in names
    ]
    beside = _result("targetnet_intervals")
    lines = []
    if beside is not None:
        parts = beside["result"]["tests"]
        values = (f" / {part['auroc_within_mirna']['count of 6mers']['value']:.3f}" for part in parts.values())
        rows.append(["count of 6mers", *(f"- / -{value}" for value in values)])
        lines = ["", "AUROC within miRNAs, with 95 % intervals over miRNAs drawn with replacement:"]
        for other in next(iter(parts.values()))["packaged minus"]:
            shown = [_difference(name, part["packaged minus"][other]) for name, part in parts.items()]
            lines.append(f"packaged minus {other} {', '.join(shown)};")
        lines[-1] = lines[-1].replace(";", ".")
    return "\n".join([*_table(["F1 / AUROC / AUROC within miRNAs", *tests], rows), *lines, "", _about(found)])


def sites() -> str:
    """Site-level scores of the pair CNN and what stands beside it."""
    found = _result("pair_cnn")
    if found is None:
        return "Not measured yet."
    test = found["result"]["tests"]["clash2013_eval"]
    keys = ("auroc_within_mirna", "average_precision", "auroc")
    rows = [
        [name, *(f"{row[key]:.3f} ({row['interval'][key][0]:.3f}-{row['interval'][key][1]:.3f})" for key in keys)]
        for name, row in test["models"].items()
        if not name.startswith("seed ") or name == "seed class"
    ]
    head = [f"clash2013_eval, {test['rows']:,} pairs", "AUROC within miRNAs", "average precision", "AUROC"]
    return "\n".join([*_table(head, rows), "", _about(found)])


def whole_utrs() -> str:
    """Rankings of whole 3'UTRs within miRNAs."""
    found = _result("pair_rule")
    if found is None:
        return "Not measured yet."
    tests = found["result"]["tests"]
    first = next(iter(next(iter(tests.values()))["auroc_within_mirna"]))
    beside = ("count of 6mers", "context of seed matches", "TargetNet, published", "TargetNet, packaged")
    rows = [
        [name, *(_with_interval(test["auroc_within_mirna"][name]) for test in tests.values())]
        for name in (first, *beside)
    ]
    rows += [
        [f"the first minus {name}", *(_with_interval(test[f"{first} minus"][name]) for test in tests.values())]
        for name in beside[:1]
    ]
    most = [_with_interval(test["limits"]["oracle_minus_six_mers"]) for test in tests.values()]
    rows.append(["a linear rule fitted to these very comparisons, minus count of 6mers", *most])
    heads = [f"{name}, {test['mirnas']} miRNAs" for name, test in tests.items()]
    return "\n".join([*_table(["AUROC within miRNAs", *heads], rows), "", _about(found)])


def _with_interval(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"


def _difference(name: str, found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:+.3f} [{low:+.3f}, {high:+.3f}] ({name})"


def guides() -> str:
    """Spearman's correlation of Cpf1 guide models, the most telling rows."""
    found = _result("deepcpf1_models")
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
        [title, *(_mean(scores[name][data]["spearman"], scores[name][data].get("sd")) for data in ("ht_1_2", "ht_2"))]
        for name, title in names.items()
    ]
    best = _result("deepcpf1_best")
    if best:
        row = best["result"]["rows"]["best"]
        rows.insert(
            0, ["`--model best`, packaged", *(_mean(row[data]["spearman"], None) for data in ("ht_1_2", "ht_2"))]
        )
    lines = [*_table(["Spearman", "HT 1-2", "HT 2"], rows), "", _about(found)]
    return "\n".join([*lines, *([_about(best)] if best else [])])


def guides_in_short() -> str:
    """Three of them, and the picture."""
    return guides_example(rows=3)


def guides_example(rows: int | None = None) -> str:
    """The best guides of a gene with their off-targets."""
    found = _result("guides_example")
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
        [said, "", *_table(heading, cells), "", "![guides along the gene](docs/pictures/guides_off_targets.png)"]
    )


def annotator() -> str:
    """The packaged protein annotator beside what it has to beat."""
    found = _result("annotator")
    if found is None:
        return "Not measured yet."
    heads = {
        "structure": "CB513, Q3", "structure_ts115": "TS115, Q3", "signal": "signal peptides, MCC",
        "topology": "helical membrane proteins, residues right",
    }  # fmt: skip
    metrics = {"structure": "q3", "structure_ts115": "q3", "signal": "mcc", "topology": "decoded_accuracy"}
    tests = {test: found["result"]["tests"][test]["arms"] for test in heads if test in found["result"]["tests"]}

    def row(title: str, arm: str) -> list[str]:
        entries = [(tests[test].get(arm.format(test.split("_")[0])), metrics[test]) for test in tests]
        return [title, *("-" if e is None else _mean(e["metrics"][name], e["sd"][name]) for e, name in entries)]

    rows = [row("packaged", "packaged"), row("one-hot linear model", "one-hot linear")]
    rows.append(row("same network, one task, from scratch", "scratch-{}"))
    if "consensus-structure" in tests["structure"]:
        rows.append(row("taught first by a consensus over relatives", "consensus-{}"))
    if "long-structure" in tests["structure"]:
        rows.append(row("the same with three times the steps (packaged for structures)", "long-{}"))
    return "\n".join([*_table(["", *(heads[test] for test in tests)], rows), "", _about(found)])


def families() -> str:
    """Families that read DNA side by side: what the table says in short, and trained networks by task."""
    found = _result("families")
    if found is None:
        return "Not measured yet."
    from benchmarks.tables.families_page import in_short, summary

    result = found["result"]
    return "\n".join([*in_short(result), "", *summary(result, "recipes"), "", _about(found)])


def proteins() -> str:
    """Scores of the protein tasks at small size."""
    found = _result("proteins")
    if found is None:
        return "Not measured yet."
    rows = []
    for name, task in found["tasks"].items():
        metric = task["metric"]
        cells = [_mean(arm["mean"][metric], arm["sd"][metric]) for arm in task["arms"].values()]
        rows.append([f"{name} ({metric})".replace("_", " "), *cells])
    head = ["task (metric)", *(arm.replace("_", " ") for arm in task["arms"])]
    return "\n".join([*_table(head, rows), "", below_one_hot(found["tasks"]), "", _about(found)])


def below_one_hot(tasks: Mapping[str, Any]) -> str:
    """Which networks are below the linear model of one-hot residues, in words."""
    said = []
    for name, task in tasks.items():
        mean = {arm: values["mean"][task["metric"]] for arm, values in task["arms"].items()}
        least = mean.get("one_hot_linear", -math.inf)
        low = [arm for arm, value in mean.items() if arm not in ("majority", "composition") and value < least]
        if low:
            said.append(f"{name.replace('_', ' ')}: {', '.join(arm.replace('_', ' ') for arm in low)}")
    if not said:
        return "No network is below the linear model of one-hot residues."
    return "Below the linear model of one-hot residues: " + "; ".join(said) + "."


def same_family() -> str:
    """Pairs of families that were not trained on: random ones, and those that composition and length cannot tell."""
    found = _result("same_family")
    if found is None:
        return "Not measured yet."
    tests, rows = {name: found["result"][name] for name in ("random", "matched")}, []
    for score in tests["random"]["scores"]:
        values = [tests[name]["scores"][score] for name in tests]
        rows.append([score, *("{:.3f} ({:.3f} to {:.3f})".format(v["auroc"], *v["interval"]) for v in values)])
    head = ["AUROC", *(f"{test['pairs']:,} {name} pairs" for name, test in tests.items())]
    return "\n".join([*_table(head, rows), "", _about(found)])


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]


def _mean(mean: float, sd: float | None) -> str:
    return f"{mean:.3f}" if sd is None else f"{mean:.3f} ± {sd:.3f}"


def _fasta_windows(result: dict[str, Any]) -> str:
    rates = result["rates"]
    rate = {name: rates[name]["mb_per_cpu_s"] for name in rates}
    ours, other = rate["seqformers, windows"], rate["Biopython and slices of str"]
    return f"| FASTA to windows, one core | {ours:,.0f} MB/s | {ours / other:.1f} × Biopython and slices |"


def _find_phages(r: dict[str, Any]) -> str:
    rate = f"{r['megabases_per_s']:.1f} Mb/s"
    peaks = {int(found[1]): r[key] for key in r if (found := re.fullmatch(r"peak_mib_of_(\d+)_mb_contig", key))}
    long = r[f"contig_of_{max(peaks)}_megabases_per_s"]
    memory = ", ".join(f"{mib:.0f} MiB in one of {size} Mb" for size, mib in sorted(peaks.items()))
    said = f"{long:.1f} Mb/s in a contig of {max(peaks)} Mb; {memory}"
    return f"| phages in contigs of 10 kb, one core | {rate} | {said} |"


def _annotate_proteins(result: dict[str, Any]) -> str:
    proteins, residues = result["proteins_per_second"], result["residues_per_second"]
    return f"| protein annotation, one core | {proteins:,.0f} proteins/s | {residues:,.0f} residues/s |"


def _scan_targets(result: dict[str, Any]) -> str:
    return (
        f"| miRNA target scan, one core | {result['windows_per_second_one_thread']:,} windows/s | "
        f"{result['selection_and_encoding_times_original']:.0f} × the original's selection and encoding, "
        f"{result['whole_scan_times_original_one_thread']:.1f} × its whole scan |"
    )


def _scan_pair_cnn(result: dict[str, Any]) -> str:
    windows, hours, whole = result["windows_per_second_one_core"], result["hours_on_2_cores"], result["whole_scan"]
    return (
        f"| miRNA target scan by the pair CNN, one core | {windows['default']:,} windows/s | exhaustive "
        f"{windows['exhaustive']:,} windows/s; {whole['mirnas']:,} miRNAs on {whole['utrs']:,} 3'UTRs of "
        f"{whole['nucleotides_a_utr']:,} nt: {hours['default']} h on two cores{_lost()} |"
    )


def _lost() -> str:
    """What the default target scan loses of the exhaustive one's best hundredth."""
    found = _result("pair_cnn_scout")
    if found is None:
        return ""
    lost = found["result"]
    return (
        f", {lost['best_sites_lost']} of the exhaustive scan's {lost['best_sites']:,} best sites and "
        f"{lost['best_pairs_lost']} of its {lost['best_pairs']:,} best pairs (its top hundredth) lost"
    )


def _score_guides(result: dict[str, Any]) -> str:
    sites = result["scanning"]["find_sites, both strands"]
    rates = {way: row["contexts_per_cpu_s"] for way, row in result["scoring"].items()}
    ours, layers = rates["model in the package"], rates["model in the package, no table"]
    return (
        f"| PAM sites, both strands | {sites['mb_per_s']:,.0f} Mb/s | "
        f"{sites['times_expressions']:.1f} × regular expressions |\n"
        f"| Cpf1 guides scored, one core | {ours:,} contexts/s | {ours / layers:.0f} × the network layer by layer |"
    )


def _soft_align(result: dict[str, Any]) -> str:
    row = result["alignment_forward_backward"]["600"]
    rate = 1 / row["seconds"]["soft_align"]["median_cpu_s"]
    return (
        f"| soft alignment, 600 residues, forward and backward | {rate:,.0f} pairs/s | "
        f"{row['times_faster']:.1f} × the direct formula, {row['times_less_memory']:.0f} × less memory |"
    )


def _push(result: dict[str, Any]) -> str:
    row = result["dnabert"]
    seconds = row["seconds"]["first"]
    return (
        f"| push of a 6-mer BERT, {row['bytes'] / 1e6:,.0f} MB in {row['files']} files, to a Hub on the loopback | "
        f"{seconds:.1f} s | |"
    )


def _import(result: dict[str, Any]) -> str:
    added = result["added_seconds"]["cpu_seconds"]["to a bare interpreter"]
    return f"| `import seqformers`, beyond a bare interpreter | {added * 1000:.0f} ms | |"


def _embedding(result: dict[str, Any]) -> str:
    rates = {name: row["nt_per_s"] for name, row in result["rows"].items()}
    ours = {name.removeprefix("seqformers "): rate for name, rate in rates.items() if name.startswith("seqformers")}
    ours.pop("openvino fp32", None)
    names = {name: f"{name} = auto" if name == result.get("auto") else name for name in ours}
    peers = {
        "stock BertModel, in order": "stock in file order",
        "multimolecule DnaBertModel, in order": "multimolecule",
    }
    ratios = [
        f"{ours[name] / rates[peer]:.1f} × {title} ({names[name]})"
        for peer, title in peers.items()
        if peer in rates
        for name in (ours if title.startswith("stock") else ("fp32", "bf16"))
    ]
    apart = result["largest_difference_from_fp32"]["bf16"]["scores"]
    return (
        f"| vectors of reads of mixed length, {result['cores']} cores | {max(ours.values()):,.0f} nt/s | "
        f"{'; '.join(ratios)}; scores in bf16 differ by at most {apart:.1g} |"
    )


def _records(result: dict[str, Any]) -> str:
    first, last = result["points"][0], result["points"][-1]
    return (
        f"| `predict` around the model, {last['records']:,} records | {last['records_per_s']:,.0f} records/s | "
        f"{last['largest_memory_mb']:,} MB of memory, {first['largest_memory_mb']:,} MB at {first['records']:,} |"
    )


def _off_targets(result: dict[str, Any]) -> str:
    run = result["whole command"]["index built"]
    size, guides = result["bases"] / 1e6, run["guides"]
    name = f"{size / 1000:.0f} Gb" if size >= 1000 else f"{size:.0f} Mb"
    at_hand = result["whole command"]["index at hand"]["seconds"]
    return (
        f"| off-targets of {guides:,} guides in {name}, {result['mismatches']} mismatches "
        f"| {run['seconds']:,.0f} s with the index, {run['peak_gb']:.1f} GB | {at_hand:,.0f} s with it there |"
    )


def _best_guides(result: dict[str, Any]) -> str:
    rate, fast = (result[name]["guides_per_cpu_s"] for name in ("best", "fast"))
    beside = ""
    for part, other in (("folding", "ViennaRNA"), ("trees", "LightGBM")):
        if f"{part} by {other}" in result:
            ours, theirs = (result[name]["guides_per_cpu_s"] for name in (part, f"{part} by {other}"))
            beside += f", {part} {ours / theirs:.0f} × {other}"
    return f"| Cpf1 guides by `best`, one core | {rate:,} guides/s{beside} | `fast` {fast:,} |"


def _pretraining(result: dict[str, Any]) -> str:
    rows, model = result["rows"], result["model"]
    ours, shape = rows["ours"], f"{model['num_hidden_layers']} x {model['hidden_size']}"
    others = [(name, row) for name, row in rows.items() if not name.startswith("ours")]
    against = "; ".join(f"{ours['nt_per_second'] / row['nt_per_second']:.1f} × {name}" for name, row in others)
    return (
        f"| pretraining step, {shape}, reads of 36 to 510 nt, one core | "
        f"{ours['nt_per_second']:,} nt/s, {ours['share_of_ceiling']:.0%} of a matrix product's speed | {against} |"
    )


def _busy_neighbour(result: dict[str, Any]) -> str:
    ours, others = result["rows"].values()
    return (
        f"| training on {result['cores']} cores beside a busy process | {ours['beside_nt_per_s']:,} nt/s, "
        f"{ours['share_kept']:.0%} of the speed alone (fair: {result['fair_share']:.0%}) | "
        f"torch's default keeps {others['share_kept']:.0%} |"
    )


def _genome_start(result: dict[str, Any]) -> str:
    return (
        f"| start of training on fresh reads of {result['letters'] / 1e9:.1f} Gnt | "
        f"{result['seconds_to_first_step']:.0f} s to the first step, {result['largest_memory_gb']:.1f} GB of memory "
        "| |"
    )


SPEED_ROWS: dict[str, Callable[[dict[str, Any]], str]] = {
    "speed_fasta_windows": _fasta_windows,
    "speed_scan_targets": _scan_targets,
    "speed_scan_pair_cnn": _scan_pair_cnn,
    "speed_score_guides": _score_guides,
    "speed_best_guides": _best_guides,
    "speed_off_targets": _off_targets,
    "speed_off_targets_3000": _off_targets,
    "speed_soft_align": _soft_align,
    "speed_pretraining": _pretraining,
    "speed_pretraining_base": _pretraining,
    "speed_genome_start": _genome_start,
    "speed_busy_neighbour": _busy_neighbour,
    "speed_embedding": _embedding,
    "speed_records": _records,
    "speed_annotate_proteins": _annotate_proteins,
    "speed_find_phages": _find_phages,
    "speed_push": _push,
    "speed_import": _import,
}

# README.md, one screen a user; and RESULTS.md, all tables.
SHORT: dict[str, Callable[[], str]] = {
    "demo_in_short": demo_in_short, "detector_in_short": detector_in_short, "guides_in_short": guides_in_short,
    "in_short": in_short,
}  # fmt: skip
BLOCKS: dict[str, Callable[[], str]] = {
    "phage_detector": phage_detector,
    "phage_regions": phage_regions,
    "phage": phage,
    "families": families,
    "sites": sites,
    "whole_utrs": whole_utrs,
    "targets": targets,
    "guides": guides,
    "guides_example": guides_example,
    "annotator": annotator,
    "same_family": same_family,
    "proteins": proteins,
    "speed": speed,
}


def filled(text: str) -> str:
    """Return `text` with every block replaced."""
    for name, block in (SHORT | BLOCKS).items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda match, block=block: f"{match[1]}{block()}\n{match[2]}", text)  # type: ignore[misc]
    return text


PAGES = ("README.md", "benchmarks/RESULTS.md")


def filled_page(name: str) -> tuple[str, str]:
    """A page as it is, and as it should be; its pictures are found from where it stands."""
    text = (ROOT / name).read_text(encoding="utf-8")
    new = filled(text)
    return text, new.replace("](docs/", "](../docs/") if "/" in name else new


def main() -> None:
    """Rewrite the pages."""
    for name in PAGES:
        text, new = filled_page(name)
        (ROOT / name).write_text(new, encoding="utf-8")
        print(f"{name} is up to date" if new == text else f"{name} rewritten", file=sys.stderr)


if __name__ == "__main__":
    main()
