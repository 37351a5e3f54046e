"""Whose virus is it: tables with a column of hosts, where the class of a genome is the genus of its host."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seqformers.datasets_scripts.common.genomes import GenomeRecord
from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.datasets_scripts.phage.sources import Census, column_of, table_record, tables_of

__all__ = ["HOST_COLUMN", "genus_of", "host_names", "records_of_hosts"]

HOST_COLUMN = "host"


def genus_of(host: Any) -> str | None:
    """The genus of a host as tables name it, or its only word; None for nothing.

    Examples:
        >>> [genus_of(name) for name in ("Escherichia coli", "Vitis vinifera (grape)", "tomato", " ", None)]
        ['Escherichia', 'Vitis', 'tomato', None, None]
    """
    if host is None or host != host:
        return None
    words = str(host).split()
    return words[0].strip(",;.()") or None if words else None


def host_names(
    path: Path, columns: Mapping[str, str | None], known: Mapping[str, str], *, least_groups: int
) -> tuple[str, ...]:
    """Genera of hosts that viruses of at least `least_groups` groups have, in order of their letters.

    Args:
        path (`Path`): Table, or folder of tables with the same columns.
        columns (`Mapping[str, str | None]`): Names of the columns `label` (of hosts), `group`, `genome_id`.
        known (`Mapping[str, str]`): Content of the column `source` -> host, for rows that name none.
        least_groups (`int`): Fewer are too few to split into train, validation and test.

    Raises:
        ValueError: fewer than two hosts have so many groups.
    """
    groups: dict[str, set[Any]] = defaultdict(set)
    hosts = _Hosts(columns, known)
    for file in tables_of(path):
        table = open_table(file, remarks=Remarks())
        genome = column_of("genome_id", columns.get("genome_id"), table)
        group = column_of("group", columns.get("group"), table) or genome
        for at, row in table.rows():
            host = hosts.of(row, genome)
            if host is not None:
                groups[host].add(row[group] if group is not None else at)
    names = tuple(sorted(name for name, found in groups.items() if len(found) >= least_groups))
    if len(names) < 2:
        found = ", ".join(
            f"{name} ({len(groups[name])})" for name in sorted(groups, key=lambda n: -len(groups[n]))[:4]
        )
        raise ValueError(
            f"{path}: hosts are classes when two of them or more have viruses of {least_groups} groups; there are: "
            f"{found or 'none'} (lower least_groups, or give more genomes)"
        )
    return names


def records_of_hosts(
    path: Path,
    census: Census,
    *,
    columns: Mapping[str, str | None],
    names: tuple[str, ...],
    known: Mapping[str, str],
) -> Iterator[GenomeRecord]:
    """Stream the genomes of tables whose host is one of `names`; the others are left out and counted."""
    number, hosts = 0, _Hosts(columns, known)
    for file in tables_of(path):
        table = open_table(file, remarks=census.remarks)
        chosen = {key: column_of(key, columns.get(key), table) for key in ("sequence", "group", "genome_id")}
        for at, row in table.rows():
            number += 1
            host = hosts.of(row, chosen["genome_id"])
            if host not in names:
                census.left_out["records without a host" if host is None else "records of rare hosts"] += 1
                continue
            cells = {key: row[name] for key, name in chosen.items() if name is not None} | {"label": host}
            yield table_record(cells, table.where(at), number, census, names, True)


class _Hosts:
    """The host of every row; segments of a genome have the host that the first of them names."""

    def __init__(self, columns: Mapping[str, str | None], known: Mapping[str, str]):
        self._column, self._known = columns.get("label") or HOST_COLUMN, known
        self._of_genome: dict[str, str] = {}

    def of(self, row: Mapping[str, Any], genome: str | None) -> str | None:
        """Genus of a row's host; `genome` is the column that tells which rows belong together."""
        host = genus_of(row[self._column])
        host = self._known.get(str(row.get("source"))) if host is None else host
        if genome is None:
            return host
        name = str(row[genome])
        return self._of_genome.get(name) if host is None else self._of_genome.setdefault(name, host)
