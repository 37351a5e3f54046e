"""The page of the table of families: what it says in short, scores side by side, then every figure of every task."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from benchmarks._results import RESULTS
from benchmarks.tables.families_rows import ARMS, FAMILIES, TASKS, arms_of

__all__ = ["differs", "page", "summary"]

_T_OF_THREE_SEEDS = 4.303 / math.sqrt(3)  # half a 95 % interval of a mean of three, in standard deviations
_WORDS = ("kmer_4_logistic", "kmer_6_logistic")

Cell = dict[str, Any]


def page(result: dict[str, Any]) -> str:
    """The whole page, Markdown.

    Args:
        result (`dict`): As `results/families.json` holds it.
    """
    return "\n".join(
        [
            "# Families that read DNA, on the same rows with the same number of steps",
            "",
            *in_short(result),
            "",
            *summary(result),
            "",
            "A family of its own in this table is a recipe and a line in [`families_rows.py`](families_rows.py); then "
            "`python -m benchmarks.tables.families --work runs/families --families NAME` runs what is not there yet. "
            "[How a new architecture comes into the package](../../CONTRIBUTING.md), "
            "[what works with each](../../docs/families.md).",
            "",
            "## Every figure",
            "",
            table(result),
        ]
    )


# -- what is a difference -------------------------------------------------------------------------------------------


def half_width(cell: Cell) -> float:
    """Half of a 95 % interval of a mean MCC: the spread of three seeds, and of the rows that were drawn for test.

    Of n rows the variance of an MCC is (1 - MCC²) / n where classes are even.
    """
    value, rows = cell["test"]["mcc"], cell["rows"]["test"]
    drawn = 1.96 * math.sqrt(max(1 - value["mean"] ** 2, 0.0) / rows)
    return math.hypot(_T_OF_THREE_SEEDS * (value["sd"] or 0.0), drawn)


def differs(cell: Cell, other: Cell | float) -> int:
    """1 where a mean is above another by more than both intervals together (as independent), -1 below, 0 between.

    A shortcut has one value; its rows are those of the network, so only the network's interval counts.
    """
    single = isinstance(other, float)
    value = other if isinstance(other, float) else other["test"]["mcc"]["mean"]
    gap = cell["test"]["mcc"]["mean"] - value
    width = half_width(cell) if single else _of_seeds(cell, other)  # type: ignore[arg-type]
    return 0 if abs(gap) <= width else int(math.copysign(1, gap))


def _of_seeds(cell: Cell, other: Cell) -> float:
    """Half of an interval of a difference between two networks on the same rows of test."""
    seeds = _T_OF_THREE_SEEDS * math.hypot(cell["test"]["mcc"]["sd"] or 0.0, other["test"]["mcc"]["sd"] or 0.0)
    mean = (cell["test"]["mcc"]["mean"] + other["test"]["mcc"]["mean"]) / 2
    return math.hypot(seeds, 1.96 * math.sqrt(max(1 - mean**2, 0.0) / cell["rows"]["test"]))


# -- in short -------------------------------------------------------------------------------------------------------


def in_short(result: dict[str, Any]) -> list[str]:
    """Five lines, all of them from the numbers."""
    said = [_best(result), _beside_words(result), _as_drawn(result), _pretrained(result), _cost(result)]
    return [f"- {line}" for line in said if line]


def _tasks(result: dict[str, Any], arm: str = "scratch") -> dict[str, dict[str, Cell]]:
    """Task -> family -> cell of an arm, tasks without one left out."""
    found = {task: {f: c for f in FAMILIES if (c := result["cells"].get(f"{task}/{f}/{arm}"))} for task in TASKS}
    return {task: cells for task, cells in found.items() if cells}


def _top(cells: dict[str, Cell]) -> str:
    return max(cells, key=lambda family: cells[family]["test"]["mcc"]["mean"])


def _level(cells: dict[str, Cell]) -> list[str]:
    """The best network of a task and those that it is not above by more than the interval."""
    best = _top(cells)
    order = sorted(cells, key=lambda family: -cells[family]["test"]["mcc"]["mean"])
    return [family for family in order if family == best or not differs(cells[best], cells[family])]


def _words_of(result: dict[str, Any], task: str) -> tuple[str, float]:
    """The better one of the regressions on k-mers, and its MCC."""
    found = {name: float(result["shortcuts"][task][name]["mcc"]) for name in _WORDS}
    name = max(found, key=lambda each: found[each])
    return name.split("_")[1], found[name]


def _best(result: dict[str, Any]) -> str:
    parts = []
    for task, cells in _tasks(result).items():
        best, *others = _level(cells)
        level = f", level with {len(others)} of {len(cells) - 1} others" if others else ""
        parts.append(f"{task} `{best}` ({_spread(cells[best], 'mcc')}{level})")
    return f"Best trained network, MCC: {'; '.join(parts)}."


def _beside_words(result: dict[str, Any]) -> str:
    parts = []
    for task, cells in _tasks(result).items():
        letters, value = _words_of(result, task)
        signs = {family: differs(cell, value) for family, cell in cells.items()}
        above, below = (sum(sign == wanted for sign in signs.values()) for wanted in (1, -1))
        gap = cells[_top(cells)]["test"]["mcc"]["mean"] - value
        parts.append(
            f"{task} {above} above, {len(signs) - above - below} within, {below} below "
            f"(best {gap:+.3f} to {value:.3f} of {letters}-mers)"
        )
    places = result["shortcuts"].get("splice", {}).get("position_logistic")
    extra = (
        f" Where places decide, on splice, a regression on letters by place has {places['mcc']:.3f}." if places else ""
    )
    return f"Against a regression on k-mers that read the same rows: {'; '.join(parts)}.{extra}"


def _as_drawn(result: dict[str, Any]) -> str:
    trained, drawn = _tasks(result), _tasks(result, "random")
    parts = []
    for task, cells in trained.items():
        both = [family for family in cells if family in drawn.get(task, {})]
        shares = sorted(
            drawn[task][family]["test"]["mcc"]["mean"] / cells[family]["test"]["mcc"]["mean"]
            for family in both
            if cells[family]["test"]["mcc"]["mean"] > 0.1
        )
        if shares:
            parts.append(f"{task} {100 * shares[len(shares) // 2]:.0f} %")
    return (
        "Weights as drawn, only the last layer fitted, have this share of the trained network's MCC (median of the "
        f"families): {', '.join(parts)}; a probe's score says little without this row."
    )


def _pretrained(result: dict[str, Any]) -> str:
    trained, drawn = _tasks(result), _tasks(result, "random")
    parts, probes = [], []
    for task, cells in _tasks(result, "pretrained").items():
        both = {family: cell for family, cell in cells.items() if family in trained.get(task, {})}
        parts += _gains(task, both, trained[task])
    for task, cells in _tasks(result, "frozen").items():
        both = {family: cell for family, cell in cells.items() if family in drawn.get(task, {})}
        probes += _gains(task, both, drawn[task])
    if not parts and not probes:
        return "What pretraining adds was not run."
    fine, probe = (
        f"{sum(sign > 0 for _, sign in each)} of {len(each)} are above by more than the interval, "
        f"{sum(sign < 0 for _, sign in each)} below ({', '.join(text for text, _ in each)})"
        for each in (parts, probes)
    )
    return (
        "As many steps of pretraining on the same rows, without labels (one seed), before training, MCC beside from "
        "scratch: "
        f"{fine}. Only the last layer fitted, beside weights as drawn: {probe}."
    )


def _gains(task: str, cells: dict[str, Cell], base: dict[str, Cell]) -> list[tuple[str, int]]:
    return [
        (
            f"{family} on {task} {cell['test']['mcc']['mean'] - base[family]['test']['mcc']['mean']:+.3f}",
            differs(cell, base[family]),
        )
        for family, cell in cells.items()
    ]


def _cost(result: dict[str, Any]) -> str:
    parts = []
    for task, cells in _tasks(result).items():
        level = [family for family in _level(cells) if cells[family]["cpu_minutes_a_seed"]]
        if level:
            cheap = min(level, key=lambda family: cells[family]["cpu_minutes_a_seed"])
            parts.append(f"{task} `{cheap}` ({60 * cells[cheap]['cpu_minutes_a_seed']:.0f} s)")
    return f"Cheapest to train among those level with the best, CPU seconds of one seed: {', '.join(parts)}."


# -- side by side ---------------------------------------------------------------------------------------------------


def summary(result: dict[str, Any], recipes: str = "../recipes") -> list[str]:
    """MCC of trained networks, a family a row and a task a column; bold where level with the best.

    Args:
        result (`dict`): As `results/families.json` holds it.
        recipes (`str`): Where the recipes lie, from the page.
    """
    tasks = _tasks(result)
    bold = {task: set(_level(cells)) for task, cells in tasks.items()}
    lines = [f"| MCC, trained | {' | '.join(tasks)} |", "|---" * (len(tasks) + 1) + "|"]
    for family in FAMILIES:
        fields = []
        for task, cells in tasks.items():
            text = _spread(cells[family], "mcc") if family in cells else ""
            fields.append(f"**{text}**" if family in bold[task] else text)
        lines.append(f"| {_linked(family, recipes)} | {' | '.join(fields)} |")
    names = dict.fromkeys(name for task in tasks for name in result["shortcuts"].get(task, {}))
    for name in names:
        values = (result["shortcuts"].get(task, {}).get(name) for task in tasks)
        cells_of = ["" if value is None else f"{value['mcc']:.3f}" for value in values]
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells_of)} |")
    lines += [
        "",
        "Mean ± standard deviation of three seeds; bold: level with the best of the column. Two figures are level "
        "where they differ by less than a 95 % interval of three seeds (4.30 standard deviations / √3) and of so many "
        "rows of test. Each family leads to its recipe.",
    ]
    return lines


def _linked(family: str, recipes: str) -> str:
    file, _, run = FAMILIES[family].recipe.partition(":")
    return f"[{family}]({recipes}/{file if run else f'{file}.yaml'})"


# -- every figure ---------------------------------------------------------------------------------------------------


def table(result: dict[str, Any]) -> str:
    """One table a task: scores on test, mean and spread of the seeds; then what was not run."""
    lines = [
        f"Every network sees the same {result['rows']:,} rows of train {result['epochs']} times (all where a "
        f"set has fewer), {result['batch']} a step; mean and standard deviation of three seeds on "
        "test. As drawn: a linear probe of the untrained network, on all rows, on ten and on one row a class (mean of "
        "20 draws). CPU minutes are of one thread and one seed, scoring included.",
        "",
    ]
    speed = _speed()
    for task, spec in TASKS.items():
        mine = {name: cell for name, cell in result["cells"].items() if name.startswith(f"{task}/")}
        if not mine:
            continue
        rows = next(iter(mine.values()))["rows"]
        lines += [
            f"### {task}",
            "",
            f"{spec.letters} nt, {rows['train']:,} rows of train, {rows['test']:,} of test",
            "",
            "| network | | MCC | AUROC | MCC, 10 rows a class | 1 row | parameters | CPU min | nt/s |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for name, cell in mine.items():
            _, family, arm = name.split("/")
            pace = speed.get(f"{family}/{spec.letters}") if arm == "scratch" else None
            cost = cell["cpu_minutes_a_seed"]
            fields = [family, ARMS[arm], _spread(cell, "mcc"), _spread(cell, "auroc"), _few(cell, "10")]
            fields += [_few(cell, "1"), f"{cell['parameters']:,}", "" if cost is None else f"{cost:.2f}"]
            lines.append(f"| {' | '.join([*fields, '' if pace is None else f'{pace:,.0f}'])} |")
        for name, found in result["shortcuts"].get(task, {}).items():
            lines.append(
                f"| {name.replace('_', ' ')} | shortcut | {found['mcc']:.3f} | {found['auroc']:.3f} | | | | | |"
            )
        lines.append("")
    if result["not_run"]:
        lines += [f"Not run: {', '.join(_grouped(result['not_run']))}.", ""]
    return "\n".join(lines)


def _grouped(names: Iterable[str]) -> list[str]:
    """`task (family, family without this and that ...)` of what is missing; `task (all)` where nothing was run."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in names:
        task, family, arm = name.split("/")
        found.setdefault(task, {}).setdefault(family, []).append(arm)
    return [f"{task} ({_families_of(families)})" for task, families in found.items()]


def _families_of(missing: dict[str, list[str]]) -> str:
    whole = [family for family in missing if len(missing[family]) == len(arms_of(family))]
    if len(whole) == len(FAMILIES):
        return "all"
    part = [f"{family} {' and '.join(arms)}" for family, arms in missing.items() if family not in whole]
    return ", ".join([*whole, *part])


def _speed() -> dict[str, float]:
    """Letters a second by `family/letters`, of networks of the sizes of this table."""
    path = RESULTS / "speed_families.json"
    if not path.is_file():
        return {}
    found = json.loads(path.read_text())["result"]
    paces = found["nt_per_second"]
    if "sizes" in found:  # earlier ones measured whole networks where the table has narrower ones
        return dict(paces)
    return {name: pace for name, pace in paces.items() if not FAMILIES[name.split("/")[0]].config}


def _spread(cell: Cell, metric: str) -> str:
    value = cell["test"][metric]
    return f"{value['mean']:.3f} ± {value['sd']:.3f}"


def _few(cell: Cell, count: str) -> str:
    value = cell["few_rows_mcc"].get(count)
    return "" if value is None else f"{value:.3f}"
