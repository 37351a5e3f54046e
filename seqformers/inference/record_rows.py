"""The road that `predict` and `embed` share: records of a file in, a row a record out, on any engine, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqformers.clusters import check_engine
from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.hub.load import Loaded, load_model, model_folder
from seqformers.inference.engine import known_spans
from seqformers.inference.openvino_engine import CompiledModel
from seqformers.inference.ray_engine import ENGINES, RayJob, ray_rows
from seqformers.inference.records import describe_work, read_sequences, settle_precision
from seqformers.inference.windowing import Windowing, check_count
from seqformers.shards import Shard
from seqformers.tables import TableWriter

__all__ = ["RecordRows", "note_unknown"]


@dataclass(frozen=True)
class RecordRows:
    """What is to be written about the records of a file.

    Args:
        job (`str`): The command, which an output remembers.
        columns (`Mapping`): Of the rows, as of `TableWriter`.
        head (`str`): Auto class that the model is loaded with.
        answer (`str`): What a record without a known token does not get, for the warning.
        make_rows (`Callable`): `predict_records` or `embed_records`, its other options bound; can be pickled.
        settings (`Mapping`): Further options that decide the rows.
    """

    job: str
    columns: Mapping[str, Any]
    head: str
    answer: str
    make_rows: Callable[..., Iterator[dict[str, Any]]]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def write(
        self,
        run: str | Path,
        sequences: str | Path,
        output: str | Path,
        *,
        window: int | None,
        step: int | None,
        both_strands: bool,
        batch_size: int,
        device: str | None,
        precision: str,
        on_error: OnError,
        shard: str | None,
        engine: str,
        ray_address: str | None,
        overwrite: bool,
        resume: bool,
        progress: bool,
    ) -> Path:
        """Write the rows; arguments and errors are those of `predict`."""
        windowing = Windowing(window, step, both_strands)
        check_count("batch_size", batch_size)
        part, remarks = Shard.parse(shard, sequences), Remarks(on_error)
        check_engine(engine, ray_address, sequences, known=ENGINES)
        folder = model_folder(run)
        chosen = settle_precision(precision, device, part) | ({"engine": engine} if engine == "openvino" else {})
        settings = describe_work(
            folder, sequences, resume=resume, window=window, step=step, both_strands=both_strands, on_error=on_error,
            **self.settings, **chosen, **part.settings,
        )  # fmt: skip
        inputs = [folder, sequences]
        with TableWriter(
            output, self.columns, job=self.job, inputs=inputs, settings=settings, overwrite=overwrite, resume=resume
        ) as table:
            if table.finished:
                return table.path
            loaded = load_model(run, self.head, device=device, precision=precision)
            if engine == "openvino":
                loaded.compiled = CompiledModel(loaded)
            cut = windowing.for_model(loaded)
            records = part.of_records(read_sequences(sequences, loaded.reading, remarks, progress=progress), sequences)
            rest = self._rest(records, table.rows_done, loaded, cut, remarks)
            if engine == "ray":
                job = RayJob(
                    self.make_rows, self.columns, folder.resolve(), self.head, Path(sequences).resolve(),
                    loaded.reading.molecule, cut, batch_size, device, precision, on_error, part, table.rows_done,
                )  # fmt: skip
                rows = self._matched(rest, ray_rows(job, ray_address), remarks)
            else:
                rows = self.make_rows(rest, loaded, cut, batch_size=batch_size, remarks=remarks)
            for row in rows:
                table.write([row])
        remarks.warn(str(sequences), stacklevel=3)
        return table.path

    def _rest(
        self, records: Iterator[Any], done: int, loaded: Loaded, windowing: Windowing, remarks: Remarks
    ) -> Iterator[Any]:
        """Pass over the records whose rows are there already, so that the counts in `remarks` cover the whole file."""
        for number, record in enumerate(records):
            if number >= done:
                yield record
            elif not known_spans(record.sequence, windowing, loaded):
                note_unknown(remarks, record.id, self.answer)

    def _matched(
        self, records: Iterator[Any], rows: Iterator[dict[str, Any]], remarks: Remarks
    ) -> Iterator[dict[str, Any]]:
        """Rows that were made elsewhere, beside the records read here, so that what is to be said is said here."""
        for record, row in zip(records, rows, strict=True):
            if record.id != row["id"]:
                raise OSError(
                    f"the row of {row['id']!r} came in place of that of {record.id!r}: was the input changed?"
                )
            if not row["num_windows"]:
                note_unknown(remarks, row["id"], self.answer)
            yield row


def note_unknown(remarks: Remarks, name: str, what: str) -> None:
    """Count a record that gets no score or vector."""
    remarks.note(f"records hold no known token (too short, or only N) and got no {what}", repr(name))
