"""Read the published tables of Cpf1 activity: xlsx, csv, tsv or Parquet, with whatever header they came with.

The tables differ in header rows and column names, so columns are known by what they hold: 34 letters of DNA are the
target, 50 the wider context; the label is the last column whose header speaks of an indel frequency.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqformers.datasets_scripts.common.remarks import Remarks
from seqformers.datasets_scripts.common.table_lines import read_fields
from seqformers.datasets_scripts.common.tables import open_table

__all__ = ["DATA_SETS", "find_sheets", "find_table", "only_table", "read_activity_table"]

# Configuration -> what a file or sheet of it is called once letters other than a-z and 0-9 are gone.
DATA_SETS: dict[str, str] = {
    "ht_1_1": "ht11",
    "ht_1_2": "ht12",
    "ht_2": "ht2",
    "ht_3": "ht3",
    "hek_lenti": "heklenti",
    "hek_plasmid": "hekplasmid",
    "hct_plasmid": "hctplasmid",
    "kleinstiver_2016": "kleinstiver2016",
    "chari_2017": "chari2017",
    "kim_2016": "kim2016",
}
_SUFFIXES = (".parquet", ".csv", ".tsv", ".txt", ".xlsx")
_DNA = re.compile(r"[ACGTUNacgtun]+\Z")


def find_table(folder: Path, name: str) -> tuple[Path, str | None] | None:
    """File of a data set in `folder`, and the sheet when it is one of a workbook; None when there is none.

    Raises:
        ValueError: two files or sheets go by the name.
    """
    key = DATA_SETS[name]
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    found: list[tuple[Path, str | None]] = [(path, None) for path in files if _plain(path.stem).endswith(key)]
    if not found:
        for path in files:
            if path.suffix.lower() == ".xlsx":
                found += [(path, sheet) for sheet in find_sheets(path, name)]
    if len(found) > 1:
        raise ValueError(f"{folder} has several tables of {name}: {', '.join(str(path) for path, _ in found)}")
    return found[0] if found else None


def only_table(folder: Path) -> tuple[Path, str | None]:
    """The one table of a folder (of a workbook its first sheet), whatever its name.

    Raises:
        ValueError: there is none, or more than one.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if len(files) != 1:
        found = ", ".join(path.name for path in files) or "none"
        raise ValueError(f"{folder} must hold one table ({', '.join(_SUFFIXES)}) of your targets; found {found}")
    return files[0], None


def find_sheets(workbook: Path, name: str) -> list[str]:
    """Sheets of a workbook that go by the name of a data set."""
    return [sheet for sheet in _workbook(workbook).sheet_names if _plain(sheet).endswith(DATA_SETS[name])]


def read_activity_table(path: Path, sheet: str | None = None) -> pd.DataFrame:
    """The rows of one table with the columns `target`, `context_50`, `accessible`, `label`, `reads`.

    Args:
        path (`Path`): Table.
        sheet (`str`, *optional*): Sheet of a workbook; its first one when absent.

    Returns:
        `DataFrame`: `context_50`, `accessible` and `reads` are null where the table does not have them. Labels are
        percent and may be negative (background subtraction).

    Raises:
        ValueError: no column of 34-letter targets or of labels; or a row without a number, of another length, or with
            an accessibility other than 0 or 1. The message names table and row.
    """
    raw, header = _cells(path, sheet)
    where = f"{path.name}{f' [{sheet}]' if sheet else ''}"
    target = next(iter(_dna_columns(raw, 34)), None)
    if target is None:
        raise ValueError(f"{where} has no column of 34-letter targets; columns: {', '.join(header)}")
    rows = pd.DataFrame({"target": raw[target].str.strip().str.upper()})
    label = _label_column(raw, header, target, where)
    context = next(iter(_dna_columns(raw, 50)), None)
    rows["context_50"] = raw[context].str.strip().str.upper() if context is not None else None
    rows["label"] = _numbers(raw[label], where, header[label])
    access = _column(header, r"accessib|\bca\b|dnase")
    values = None if access is None else pd.to_numeric(raw[access], errors="coerce")
    rows["accessible"] = values if values is not None and values.notna().any() else np.nan
    reads = _column(header, r"total[ _].*reads?.*cpf1|total_reads_cpf1|^reads$")
    rows["reads"] = pd.to_numeric(raw[reads], errors="coerce") if reads is not None else np.nan
    _check(rows, where)
    return rows


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _workbook(path: Path) -> Any:
    try:
        return pd.ExcelFile(path)
    except ImportError as error:
        raise ValueError(
            f"reading {path.name} needs openpyxl: pip install 'seqformers[tables]', or save it as .csv"
        ) from error
    except Exception as error:  # whatever its parsers meet in a damaged or foreign archive
        raise ValueError(f"{path} cannot be read as an Excel workbook: {type(error).__name__}: {error}") from error


def _cells(path: Path, sheet: str | None) -> tuple[pd.DataFrame, list[str]]:
    """Cells as text, numbered columns, from the first row that holds a target; and the header row above it."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table = pd.concat(open_table(path).frames(), ignore_index=True)
        return table.set_axis(range(table.shape[1]), axis=1), [str(name) for name in table.columns]
    if suffix == ".xlsx":
        book = _workbook(path)
        cells = book.parse(sheet or book.sheet_names[0], header=None, dtype=object)
    else:
        remarks = Remarks()
        rows = [fields for _, fields in read_fields(path, remarks, comma=suffix == ".csv")]
        remarks.warn()
        rows = [row[0].split() if len(row) == 1 else row for row in rows]  # by blanks, where there is no separator
        cells = pd.DataFrame(rows, dtype=object).replace("", None)
    is_target = cells.map(
        lambda value: isinstance(value, str) and len(value.strip()) == 34 and bool(_DNA.match(value.strip()))
    )
    lines = np.flatnonzero(is_target.any(axis=1))
    if not lines.size:
        raise ValueError(f"{path.name} has no cell with a 34-letter target")
    first = int(lines[0])
    header = [str(value) if pd.notna(value) else "" for value in cells.iloc[first - 1]] if first else []
    body = cells.iloc[first:].dropna(how="all").reset_index(drop=True)
    return body, header or [""] * cells.shape[1]


def _is_dna(value: Any, length: int) -> bool:
    return isinstance(value, str) and len(value.strip()) == length and _DNA.match(value.strip()) is not None


def _dna_columns(raw: pd.DataFrame, length: int) -> Iterator[int]:
    for column in raw.columns:
        if all(_is_dna(value, length) for value in raw[column].head(50)):
            yield column


def _column(header: list[str], pattern: str) -> int | None:
    return next((i for i, name in enumerate(header) if re.search(pattern, name, re.IGNORECASE)), None)


def _label_column(raw: pd.DataFrame, header: list[str], target: int, where: str) -> int:
    named = [i for i, name in enumerate(header) if re.search(r"indel.*(freq|%|pct|percent)|^label$", name, re.I)]
    if named:
        subtracted = [i for i in named if re.search(r"subtract", header[i], re.I)]
        return (subtracted or named)[-1]
    for column in range(target + 1, raw.shape[1]):  # no header: the first number after the target
        if pd.to_numeric(raw[column], errors="coerce").notna().all():
            return column
    raise ValueError(f"{where} has no column of indel frequencies; columns: {', '.join(header)}")


def _numbers(column: pd.Series, where: str, name: str) -> pd.Series:
    values = pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(~np.isfinite(values.to_numpy(dtype=np.float64)))
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(f"{where}, data row {row}: {name or 'the label'} is {column.iloc[row]!r}, expected a number")
    return values.astype(np.float64)


def _check(rows: pd.DataFrame, where: str) -> None:
    wrong = np.flatnonzero(rows["target"].astype(str).str.len() != 34)
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(f"{where}, data row {row}: target {rows['target'].iloc[row]!r} is not 34 letters long")
    given = rows["accessible"].notna()
    wrong = np.flatnonzero(given & ~rows["accessible"].isin([0, 1]))
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(
            f"{where}, data row {row}: accessibility is {rows['accessible'].iloc[row]!r}, expected 0, 1 or nothing"
        )
