"""The one door through which everything this package writes reaches the disk.

What it promises, whatever the job: an output is never one of the inputs; nothing that is there is touched before all
that can be checked is checked; an older output goes only when its successor is whole, in one rename; a folder is
replaced only if this package made it, for the same job, and nobody put a file of their own into it; two processes
never write the same output.

A job that writes one output looks like this:

    with Output(path, "predict", inputs=[fasta], settings=settings, overwrite=overwrite, resume=resume) as output:
        ...                      # check everything: nothing of the user's has been touched so far
        partial = output.start() # now the work begins, in `<path>.partial`
        ...
        output.finish()          # `<path>` is there, whole

Left without `finish` (an error, Ctrl-C, a kill), `<path>.partial` stays for `resume`, with the settings it was started
with in `<path>.partial.json`; a resume with other settings is refused by name. The settings of a finished file stay
beside it in `.<name>.seqformers.json`, those of a finished folder in it, in `.seqformers.json`.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

__all__ = [
    "MARK",
    "Output",
    "did_you_mean",
    "fingerprint",
    "finite",
    "is_made_here",
    "mark_folder",
    "record_of_output",
    "refuse_input",
    "safe_name",
    "write_json",
    "write_text",
]

MARK = ".seqformers.json"  # in each folder this package made: which job, and the files it wrote there
_CHUNK = 1 << 20
_HASHED_WHOLE = 64 << 20


class Output:
    """One file or folder about to be written: checked, locked, built beside its place and renamed into it.

    Args:
        path (`str` or `Path`): Where the result goes.
        job (`str`): What writes it (`predict`, `explain`, `build`, ...): a folder is replaced only by the same job.
        inputs (iterable of `str` or `Path`): Files and folders the job reads; the output must be none of them.
        settings (`Mapping`, *optional*): What decides the result: model, inputs, options, versions (JSON values).
            A resume with other settings is refused.
        folder (`bool`): The output is a folder.
        overwrite (`bool`): Replace an earlier output once the new one is whole.
        resume (`bool`): Go on with an interrupted output, and keep a finished one as it is.

    Attributes:
        path (`Path`): Where the result goes.
        partial (`Path`): Where it grows.
        finished (`bool`): With `resume`: the result is there already and nothing is left to do.

    Raises:
        FileExistsError: the output exists and neither `overwrite` nor `resume` was given; or it is a folder that this
            job did not make, or that holds files of somebody else.
        ValueError: the output is one of the inputs, lies in a file, or was started with other settings.
        OSError: another process is writing it.

    Examples:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with Output(path, "example") as output:
        ...     _ = output.start().write_text("whole")
        ...     _ = output.finish()
        >>> path.read_text(), output.partial.exists()
        ('whole', False)
    """

    def __init__(
        self,
        path: str | Path,
        job: str,
        *,
        inputs: Iterable[str | Path] = (),
        settings: Mapping[str, Any] | None = None,
        folder: bool = False,
        overwrite: bool = False,
        resume: bool = False,
    ):
        self.path = Path(path)
        if self.path.name in ("", ".."):  # what lies beside it is named after it
            raise ValueError(f"cannot write {path}: give it a name of its own, e.g. {self.path / 'results'}")
        self.job, self.folder = job, folder
        self.settings = None if settings is None else json.loads(json.dumps(settings))
        self.partial = self.path.with_name(self.path.name + ".partial")
        self._header = self.path.with_name(self.path.name + ".partial.json")
        self._overwrite, self._resume = overwrite, resume
        self._started = self._done = False
        refuse_input(self.path, inputs)
        self._refuse_existing()
        self._lock = self._locked()
        self.finished = False
        try:
            if resume and self.partial.exists():
                self._refuse_other_settings(self.partial, self._header, "was started")
            elif resume:
                self.finished = self._is_finished()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _refuse_existing(self) -> None:
        path = self.path
        for parent in path.parents:
            if parent.exists():
                if not parent.is_dir():
                    raise ValueError(f"cannot write {path}: {parent} is a file")
                break
        if not path.exists() or (self.folder and path.is_dir() and not any(path.iterdir())):
            return
        if path.is_dir() != self.folder:
            raise FileExistsError(f"{path} is a {'folder' if path.is_dir() else 'file'}; choose another output")
        if self._resume:
            return
        if not self._overwrite:
            raise FileExistsError(f"{path} exists; pass --overwrite to replace it or --resume to go on with it")
        if self.folder:
            is_made_here(path, self.job, or_raise="replaced")

    def _is_finished(self) -> bool:
        """Whether the result is there, of the same settings; other settings are refused."""
        if not self.path.exists() or (self.folder and not any(self.path.iterdir())):
            return False
        if self.folder and not self._record.is_file():
            is_made_here(self.path, self.job, or_raise="gone on with")
        self._refuse_other_settings(self.path, self._record, "was written")
        return True

    @property
    def _record(self) -> Path:
        return record_of_output(self.path, folder=self.folder)

    def _locked(self) -> FileLock:
        self._made = [parent for parent in self.path.parents if not parent.exists()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path.with_name(f".{safe_name(self.path.name)}.lock"), timeout=0)
        try:
            lock.acquire()
        except Timeout:
            self._remove_made()
            raise OSError(
                f"another process is writing {self.path} (or this one, for another of its outputs); wait for it, or "
                "choose another output"
            ) from None
        return lock

    def start(self) -> Path:
        """Begin the work: return `partial`, with what an interrupted run of the same settings left there, or nothing.

        Call it after every check; an interrupted run that is not resumed is thrown away here.
        """
        left = self.partial.exists()
        if left and not self._resume:
            if self.settings is not None and self.folder and not self._header.is_file():
                raise FileExistsError(f"{self.partial} is in the way and is no interrupted output; move it away")
            _remove(self.partial)
        if self.settings is not None and not (left and self._resume):
            write_json(self._header, {"job": self.job, "settings": self.settings})
        if self.folder:
            self.partial.mkdir(exist_ok=True)
        self._started = True
        return self.partial

    def _refuse_other_settings(self, place: Path, record: Path, how: str) -> None:
        if self.settings is None:
            return
        try:
            before = json.loads(record.read_text(encoding="utf-8"))["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            raise ValueError(
                f"{place} is there, but what it {how} with is not known ({record.name} is missing or torn); pass "
                "--overwrite in place of --resume to start again"
            ) from None
        now = self.settings or {}
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            what = "; ".join(f"{key}: then {before.get(key)!r}, now {now.get(key)!r}" for key in changed)
            raise ValueError(
                f"{place} {how} with other settings ({what}); resume with those, or pass --overwrite in place of "
                "--resume to start again"
            )

    def finish(self, whole: Path | None = None) -> Path:
        """The work is whole: put it in its place in one rename, in place of an older output.

        Args:
            whole (`Path`, *optional*): The result, where it is made of what lies in `partial` but is not `partial`
                itself, which then goes.
        """
        assert self._started, "finish before start"
        if self.folder:
            mark_folder(self.partial, self.job, self.settings)
        elif self.settings is not None:
            size = (whole or self.partial).stat().st_size
            write_json(self._record, {"job": self.job, "settings": self.settings, "bytes": size})
        _swap(whole or self.partial, self.path)
        if whole is not None:
            _remove(self.partial)
        self._header.unlink(missing_ok=True)
        self._done = True
        return self.path

    def __enter__(self) -> Output:
        return self

    def discard(self) -> None:
        """Throw away what was begun: a step on the way to another output, which is whole."""
        _remove(self.partial)
        self._header.unlink(missing_ok=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()
        if not self._started:
            self._remove_made()

    def _remove_made(self) -> None:
        """Folders that were made for the lock alone."""
        for parent in self._made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def record_of_output(path: str | Path, *, folder: bool | None = None) -> Path:
    """Where the record of a finished output lies: job, settings, and of a file its size.

    Args:
        path (`str` or `Path`): The output.
        folder (`bool`, *optional*): Whether it is a folder; default: what is there.
    """
    path = Path(path)
    is_folder = path.is_dir() if folder is None else folder
    return path / MARK if is_folder else path.with_name(f".{path.name}{MARK}")


def refuse_input(output: str | Path, inputs: Iterable[str | Path]) -> None:
    """Raise `ValueError` if `output` is one of `inputs` or a folder that holds one, by real path.

    Args:
        output (`str` or `Path`): About to be written.
        inputs (iterable of `str` or `Path`): About to be read; names that are no files are passed over.
    """
    target = Path(os.path.realpath(output))
    for given in inputs:
        source = Path(os.path.realpath(given))
        same = source == target or (target.exists() and source.exists() and source.samefile(target))
        if same or target in source.parents:
            where = "is" if same else "holds"
            raise ValueError(f"the output {output} {where} the input {given}; write to another place")


def is_made_here(folder: Path, job: str, *, or_raise: str = "") -> bool:
    """Whether `folder` was written by `job` of this package and holds nothing else.

    Args:
        folder (`Path`): An existing folder.
        job (`str`): Name the folder was marked with.
        or_raise (`str`): What cannot be done with another folder (`replaced`): raise `FileExistsError` saying so, with
            the reason, in place of returning False.
    """
    reason = ""
    try:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        made_by, files = mark["job"], set(mark["files"])
    except (OSError, ValueError, KeyError, TypeError):
        reason = f"it is no earlier output of `{job}`"
    else:
        foreign = sorted(_files_of(folder) - files)
        if made_by != job:
            reason = f"it was written by `{made_by}`, not by `{job}`"
        elif foreign:
            reason = f"it holds files that `{job}` did not write ({', '.join(foreign[:3])})"
    if reason and or_raise:
        raise FileExistsError(f"{folder} is not {or_raise}: {reason}. Move it away or choose another output")
    return not reason


def mark_folder(folder: Path, job: str, settings: Mapping[str, Any] | None = None) -> None:
    """Note in `folder` which job made it, with what settings, and every file that is in it now."""
    write_json(folder / MARK, {"job": job, "settings": settings, "files": sorted(_files_of(folder))})


def _files_of(folder: Path) -> set[str]:
    """Files below `folder` by relative path, but for the mark and what file managers leave everywhere."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return {name for name in names if name != MARK and not name.endswith(".DS_Store") and "__pycache__/" not in name}


def _swap(new: Path, old: Path) -> None:
    """Put `new` in the place of `old`; a folder that is there goes only after the rename."""
    if not (old.is_dir() and not old.is_symlink()):
        new.replace(old)
        return
    away = old.with_name(f".{old.name}.replaced")
    if away.exists():
        _remove(away)
    old.rename(away)
    new.rename(old)
    _remove(away)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a UTF-8 file so that a reader sees the old text or the new one, never a part."""
    path = Path(path)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON, whole or not at all; NaN is refused (`ValueError`), since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """`value` with None for NaN and infinity, which JSON has no words for."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def fingerprint(path: str | Path) -> dict[str, Any]:
    """What tells a file, or the files of a folder, from others: size, and SHA-256 (over 64 MiB: of head and tail).

    Args:
        path (`str` or `Path`): File or folder. Of a pipe or `-` only the name is known.

    Returns:
        `dict`: `name`, `bytes`, `sha256`.
    """
    path = Path(path)
    if not path.is_file() and not path.is_dir():
        return {"name": path.name, "bytes": None, "sha256": None}
    digest, size = hashlib.sha256(), 0
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if not file.is_file() or file.name == MARK:
            continue
        bytes_here = file.stat().st_size
        size += bytes_here
        if path.is_dir():
            digest.update(f"{file.relative_to(path).as_posix()} {bytes_here}\n".encode())
        with file.open("rb") as stream:
            if bytes_here <= _HASHED_WHOLE:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
            else:
                digest.update(stream.read(_CHUNK))
                stream.seek(-_CHUNK, os.SEEK_END)
                digest.update(stream.read(_CHUNK))
    return {"name": path.name, "bytes": size, "sha256": digest.hexdigest()[:16]}


def safe_name(text: str, *, longest: int = 80) -> str:
    """A file name made of any id: other letters than `A-Za-z0-9._-` become `_`, long names end in a hash.

    Examples:
        >>> safe_name("chr1:5-9|x y")
        'chr1_5-9_x_y'
        >>> len(safe_name("a" * 300))
        80
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", text).lstrip(".") or "_"
    if len(name) > longest:
        name = f"{name[: longest - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return name


def did_you_mean(word: Any, known: Iterable[str]) -> str:
    """`did you mean 'near'? ` where something near is known, else nothing: the start of a hint in an error.

    Examples:
        >>> did_you_mean("overwite", ["overwrite", "resume"])
        "did you mean 'overwrite'? "
        >>> did_you_mean("x", ["overwrite"])
        ''
    """
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""
