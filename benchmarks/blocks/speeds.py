"""The block of speeds: a line a benchmark."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from benchmarks.blocks.markdown import result_of

__all__ = ["speed"]


def speed() -> str:
    """One line a benchmark of speed."""
    lines = ["| what | rate | against |", "|---|---|---|"]
    found = result_of("speed_tokenize")
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
        found = result_of(name)
        if found:
            lines.append(row(found["result"]))
    return "\n".join(lines)


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
    found = result_of("pair_cnn_scout")
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
