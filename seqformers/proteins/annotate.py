"""Proteins of a FASTA file annotated into a table, with pictures and segments on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from seqformers.clusters import runs_on_ray
from seqformers.datasets_scripts.common.fasta import read_fasta
from seqformers.datasets_scripts.common.letters import BASES
from seqformers.datasets_scripts.common.remarks import OnError, Remarks
from seqformers.datasets_scripts.common.streams import check_source, is_stream
from seqformers.datasets_scripts.common.tables import open_table
from seqformers.files import Output, fingerprint, safe_name
from seqformers.inference.records import gff_name, note_repeats
from seqformers.inference.repeats import RepeatedIds
from seqformers.inference.scores import round_score
from seqformers.pictures import save_picture
from seqformers.proteins.annotator import ProteinAnnotation, ProteinAnnotator
from seqformers.proteins.picture import draw_annotation
from seqformers.proteins.segments import segments_of
from seqformers.shards import Shard
from seqformers.tables import TableWriter

__all__ = ["COLUMNS", "annotate_proteins", "annotation_table"]

COLUMNS: dict[str, Any] = {
    "id": str, "length": int, "signal_peptide_probability": float, "signal_peptide_end": int, "topology": str,
    "num_membrane": int, "ss3": str, "ss3_confidence": float,
}  # fmt: skip
_RESIDUES = 200_000  # of small proteins that are annotated together
_TELLING = 20  # letters of which one can say that they are all bases
_PICTURES = 20
# Letter of a topology -> what the Sequence Ontology calls such a stretch of a protein.
_FEATURES = {
    "S": "signal_peptide", "M": "transmembrane_helix", "i": "cytoplasmic_polypeptide_region",
    "o": "non_cytoplasmic_polypeptide_region",
}  # fmt: skip


class _Protein(NamedTuple):
    id: str
    sequence: str


@runs_on_ray("source", whole=("plot", "gff"))
def annotate_proteins(
    source: str | Path,
    output: str | Path,
    *,
    model: Any = None,
    plot: bool | str | Path = False,
    gff: str | Path | None = None,
    on_error: OnError = "raise",
    shard: str | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    device: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = False,
) -> Remarks:
    """Write one row a protein: signal peptide, membrane topology and secondary structure.

    Columns: `id`; `length` in residues; `signal_peptide_probability` (0 to 1); `signal_peptide_end`, the last residue
    of the signal peptide counted from 1, empty below a probability of 0.5; `topology`, a letter a residue (`i`
    inside, `o` outside, `M` membrane helix, `S` signal peptide); `num_membrane`, the helices; `ss3`, a letter a
    residue (`H` helix, `E` strand, `C` coil); `ss3_confidence`, the mean probability of the letters given.

    A record without letters gives a row without answers and is counted. Memory does not grow with the file.

    Args:
        source (`str` or `Path`): FASTA of proteins, plain or compressed, a pipe or `-`.
        output (`str` or `Path`): `.tsv`, `.csv`, `.jsonl` or `.parquet`.
        model (*optional*): As of [`ProteinAnnotator`].
        plot (`bool`, `str` or `Path`): Pictures of the first 20 proteins into this folder; True for
            `<output>-plots` beside the table.
        gff (`str` or `Path`, *optional*): Also write the segments of the topologies as GFF3, positions from 1.
        on_error (`"raise"` or `"skip"`, defaults to `"raise"`): At a record that is no protein: stop, or leave it out
            and count it.
        shard (`str`, *optional*): `"i/n"`: only the i-th of n shares of the proteins; `merge` joins their tables.
        engine (`"local"` or `"ray"`): `ray` runs the shards of the job on a cluster whose machines see the same
            files, a task a GPU or core, and joins them.
        ray_address (`str`, *optional*): Of a running cluster; by default one is started on this machine.
        device (`str`, *optional*): Torch device.
        overwrite (`bool`): Replace existing outputs once the new ones are whole.
        resume (`bool`): Go on after the rows that an interrupted run of the same call has written.
        progress (`bool`): Show progress on stderr.

    Returns:
        `Remarks`: what was skipped, mended or odd, with counts.

    Raises:
        FileNotFoundError: there is no such file.
        FileExistsError: an output is there.
        ValueError: no FASTA, DNA in place of proteins, letters that no protein has; the message names record and fix.
    """
    check_source(source, "FASTA file")
    if is_stream(source) and (resume or plot):
        raise ValueError(f"{source} can be read only once; for --resume and --plot save it as a file")
    if shard is not None and (plot or gff is not None):
        raise ValueError(
            "--plot and --gff are of a whole table; merge the shards, then give this command without --shard, with "
            "--resume and the merged table as --output"
        )
    part, remarks = Shard.parse(shard, source), Remarks(on_error)
    annotator = model if isinstance(model, ProteinAnnotator) else ProteinAnnotator(model, device=device)
    settings = {
        "input": fingerprint(source), "model": annotator.fingerprint, "on_error": on_error,
        "version": version("seqformers"), **part.settings,
    }  # fmt: skip
    options: dict[str, Any] = {"settings": settings, "overwrite": overwrite, "resume": resume}
    inputs = [source]
    with ExitStack() as stack:
        folder, listing = None, None
        if plot:
            place = Path(output).with_suffix("").with_name(f"{Path(output).stem}-plots") if plot is True else plot
            folder = stack.enter_context(
                Output(place, "annotate-proteins --plot", inputs=[*inputs, output], folder=True, **options)
            )
        if gff is not None:
            listing = stack.enter_context(Output(gff, "annotate-proteins --gff", inputs=[*inputs, output], **options))
        with TableWriter(output, COLUMNS, job="annotate-proteins", inputs=inputs, **options) as table:
            if not table.finished:
                bar = tqdm(desc="annotating", unit=" residues", unit_scale=True, leave=False, disable=not progress)
                with bar:
                    proteins = part.of_records(_proteins(source, remarks), source)
                    for rows in _rows(proteins, annotator, table.rows_done, bar.update):
                        table.write(rows)
        if listing is not None and not listing.finished:
            _write_segments(output, listing.start())
            listing.finish()
        if folder is not None and not folder.finished:
            _draw(source, annotator, folder.start(), on_error)
            folder.finish()
    return remarks


def annotation_table(
    proteins: str | Path | Iterable[tuple[str, str]],
    *,
    model: Any = None,
    on_error: OnError = "raise",
    device: str | None = None,
) -> pd.DataFrame:
    """The table of [`annotate_proteins`] in memory.

    Args:
        proteins (`str`, `Path`, or iterable of `(id, sequence)`): FASTA file, or the proteins themselves.
        model (*optional*): As of [`ProteinAnnotator`].
        on_error (`"raise"` or `"skip"`, defaults to `"raise"`): At a record that is no protein.
        device (`str`, *optional*): Torch device.

    Examples:
        >>> table = annotation_table([("helix", "MAELLKKAAEELLKKLEEAAKKAGG")])
        >>> table["length"].tolist(), len(table["ss3"][0])
        ([25], 25)
    """
    remarks = Remarks(on_error)
    annotator = model if isinstance(model, ProteinAnnotator) else ProteinAnnotator(model, device=device)
    rows = [row for rows in _rows(_proteins(proteins, remarks), annotator) for row in rows]
    remarks.warn()
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    proteins: Iterable[_Protein],
    annotator: ProteinAnnotator,
    done: int = 0,
    advance: Callable[[int], object] = lambda residues: None,
) -> Iterator[list[dict[str, Any]]]:
    """Rows in the order of the records, without the first `done`, annotated many proteins at a time."""
    names: list[str] = []
    sequences: list[str] = []
    letters = 0
    for number, (name, sequence) in enumerate(proteins):
        if number < done:
            continue
        names.append(name)
        sequences.append(sequence)
        letters += len(sequence)
        if letters >= _RESIDUES:
            yield _annotated(names, sequences, annotator)
            advance(letters)
            names, sequences, letters = [], [], 0
    if names:
        yield _annotated(names, sequences, annotator)
        advance(letters)


def _proteins(source: Any, remarks: Remarks) -> Iterator[_Protein]:
    """Ids and letters of the records that are proteins; what is odd is counted, or refused by name."""
    if isinstance(source, str | Path):
        quiet = Remarks(remarks.on_error)
        records: Iterable[tuple[str, str]] = (
            (record.id, record.sequence) for record in read_fasta(source, remarks=quiet)
        )
        where = f"{source}, record"
    else:
        records, quiet, where = source, Remarks(), "protein"
    with RepeatedIds() as ids:
        for name, sequence in records:
            ids.add(name)
            protein = _readable(name, sequence.upper(), f"{where} {name!r}", remarks)
            if protein is not None:
                yield protein
        note_repeats(ids, remarks)
    for what, count in quiet.counts.items():
        for example in quiet.examples[what][:1]:
            remarks.note(what, example, count)


def _readable(name: str, sequence: str, where: str, remarks: Remarks) -> _Protein | None:
    """The protein, or None for a record that is none; what is odd is counted."""
    if sequence.endswith("*"):
        sequence = sequence[:-1]
        remarks.note("proteins end in '*', which was removed", repr(name))
    try:
        _check(sequence, where)
    except ValueError as error:
        remarks.problem("records left out", str(error))
        return None
    if not sequence:
        remarks.note("records have no letters and got no answer", repr(name))
    elif not sequence.strip("X"):
        remarks.note("records hold only X; what is said of them is a guess", repr(name))
    elif odd := sum(map(sequence.count, "BJOUZ")):
        remarks.note("letters B, J, O, U, Z were read as D, L, K, C, E", f"{odd} in {name!r}", odd)
    return _Protein(name, sequence)


def _check(sequence: str, where: str) -> None:
    for place, letter in enumerate(sequence):
        if not ("A" <= letter <= "Z"):
            fix = "a stop: give one protein a record" if letter == "*" else "no residue: take gaps and marks out"
            raise ValueError(f"{where}: {letter!r} at residue {place + 1} is {fix}, or pass --on-error skip")
    if len(sequence) >= _TELLING and not sequence.encode().translate(None, BASES):
        raise ValueError(
            f"{where} holds only A, C, G, T, U and N: this is DNA or RNA; translate it first (for genomes: predict "
            "genes, for example with prodigal -a), or pass --on-error skip"
        )


def _annotated(names: list[str], sequences: list[str], annotator: ProteinAnnotator) -> list[dict[str, Any]]:
    answers = annotator.annotate(sequences)
    return [_row(name, answer) for name, answer in zip(names, answers, strict=True)]


def _row(name: str, answer: ProteinAnnotation) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"id": name, "length": len(answer.topology)}
    confidence = answer.structure_confidence
    if confidence is None:
        return row
    return row | {
        "signal_peptide_probability": round_score(answer.signal_probability),
        "signal_peptide_end": answer.signal_end,
        "topology": answer.topology,
        "num_membrane": answer.num_membrane,
        "ss3": answer.structure,
        "ss3_confidence": round_score(confidence),
    }


def _write_segments(table: str | Path, target: Path) -> None:
    """The segments of a finished table as GFF3."""
    text = ("id", "topology")
    with target.open("w", encoding="utf-8") as file:
        file.write("##gff-version 3\n")
        for frame in open_table(table, text=text, remarks=Remarks()).frames(10_000):
            for row in frame.itertuples():
                topology, name = row.topology, gff_name(row.id)
                file.write(f"##sequence-region {name} 1 {max(len(topology), 1)}\n" if topology else "")
                for kind, start, end in segments_of(topology, "SMio"):
                    score = f"{float(row.signal_peptide_probability):g}" if kind == "S" else "."
                    fields = (name, "seqformers", _FEATURES[kind], start + 1, end, score, ".", ".", ".")
                    file.write("\t".join(map(str, fields)) + "\n")


def _draw(source: str | Path, annotator: ProteinAnnotator, folder: Path, on_error: OnError) -> None:
    proteins = [item for item in islice(_proteins(source, Remarks(on_error)), _PICTURES) if item[1]]
    answers = annotator.annotate([sequence for _, sequence in proteins])
    for number, ((name, _), answer) in enumerate(zip(proteins, answers, strict=True), start=1):
        save_picture(draw_annotation(answer, title=name), folder / f"{number:02d}-{safe_name(name, longest=60)}.png")
