"""Blocks of miRNA targets."""

from __future__ import annotations

from typing import Any

from benchmarks.blocks.markdown import about, result_of, table_lines

__all__ = ["sites", "targets", "whole_utrs"]


def targets() -> str:
    """Scores of miRNA target models; F1 is the mean over folds where a set has them."""
    found = result_of("targetnet")
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
    beside = result_of("targetnet_intervals")
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
    return "\n".join([*table_lines(["F1 / AUROC / AUROC within miRNAs", *tests], rows), *lines, "", about(found)])


def sites() -> str:
    """Site-level scores of the pair CNN and what stands beside it."""
    found = result_of("pair_cnn")
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
    return "\n".join([*table_lines(head, rows), "", about(found)])


def whole_utrs() -> str:
    """Rankings of whole 3'UTRs within miRNAs."""
    found = result_of("pair_rule")
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
    return "\n".join([*table_lines(["AUROC within miRNAs", *heads], rows), "", about(found)])


def _with_interval(found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"


def _difference(name: str, found: dict[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:+.3f} [{low:+.3f}, {high:+.3f}] ({name})"
