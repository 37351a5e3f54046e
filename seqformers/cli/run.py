"""With a model of your own, or from the Hub.

Library code is imported inside the commands, so `seqformers --help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from seqformers.cli._app import (
    RUN,
    BatchSize,
    BothStrands,
    Device,
    Engine,
    OnError,
    Overwrite,
    Part,
    Precision,
    RayAddress,
    Resume,
    Run,
    Sequences,
    Step,
    Window,
    app,
    say,
    shows_progress,
)


@app.command(rich_help_panel=RUN)
def predict(
    run: Run,
    sequences: Sequences,
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: .tsv, .csv, .jsonl or .parquet.")],
    per: Annotated[
        Literal["record", "residue"], typer.Option(help="Models that label residues: a row a record, or a residue.")
    ] = "record",
    against: Annotated[
        Path | None,
        typer.Option(help="Models of pairs: compare with the records of this file; else all of SEQUENCES in pairs."),
    ] = None,
    window: Window = None,
    step: Step = None,
    both_strands: BothStrands = False,
    batch_size: BatchSize = 64,
    device: Device = None,
    precision: Precision = "fp32",
    on_error: OnError = "raise",
    shard: Part = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of the scores along the first eight records (.png, .svg, .pdf).")
    ] = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Classify every record of a FASTA file: columns id, label, score (of the positive class), num_windows.

    Example: `seqformers predict demo/run contigs.fasta --output preds.tsv --both-strands`

    A model that labels residues (secondary structure, topology) gives a string of letters and a string of confidences
    (0 to 9) a record, with `--per residue` the columns id, position (from 1), residue, label, score, and segments as
    GFF3 where OUTPUT ends in .gff3. A model of pairs (homology) gives id_a, id_b, label and score (expected level) of
    all pairs of the file, or with `--against other.fasta` of those of two files.
    """
    from seqformers.inference.pairs import compares_pairs, predict_pairs
    from seqformers.inference.predict import predict as run_predict
    from seqformers.inference.residues import labels_residues, predict_residues

    given: dict[str, object] = {"--window": window, "--step": step, "--both-strands": both_strands}
    given |= {"--engine openvino": engine == "openvino", "--precision": precision != "fp32", "--plot": plot}
    pairs = compares_pairs(run)
    if pairs or labels_residues(run):
        for name, value in ({"--per": per == "residue"} if pairs else {}).items() | given.items():
            if value:
                what = "compares pairs" if pairs else "labels residues"
                raise ValueError(f"{name} is of models of whole records; {run} {what}: leave it out")
    if against is not None and not pairs:
        raise ValueError(f"--against is of models of pairs; {run} reads one record at a time: leave it out")
    if pairs:
        path = predict_pairs(
            run, sequences, output, against=against, batch_size=batch_size, device=device, on_error=on_error,
            shard=shard, engine=engine, ray_address=ray_address, overwrite=overwrite, resume=resume,
            progress=shows_progress(),
        )  # fmt: skip
        say(f"wrote {path}")
        return
    if labels_residues(run):
        path = predict_residues(
            run, sequences, output, per=per, batch_size=batch_size, device=device, on_error=on_error, shard=shard,
            engine=engine, ray_address=ray_address, overwrite=overwrite, resume=resume, progress=shows_progress(),
        )  # fmt: skip
        say(f"wrote {path}")
        return
    if per == "residue":
        raise ValueError(f"{run} scores whole records; --per residue needs a model that labels residues")

    _not_there(plot, overwrite=overwrite or resume)
    path = run_predict(
        run, sequences, output, window=window, step=step, both_strands=both_strands, batch_size=batch_size,
        device=device, precision=precision, on_error=on_error, shard=shard, engine=engine, ray_address=ray_address,
        overwrite=overwrite, resume=resume, progress=shows_progress(),
    )  # fmt: skip
    if plot is not None:
        from seqformers.inference.plots import plot_along

        plot_along(
            run, sequences, plot, window=window, step=step, both_strands=both_strands, batch_size=batch_size,
            device=device, precision=precision, on_error=on_error, overwrite=overwrite or resume,
        )  # fmt: skip
    say(
        f"wrote {path}{f' and {plot}' if plot else ''}",
        f"seqformers explain {run} {sequences} --output explained   # which bases decide",
    )


def _not_there(picture: Path | None, *, overwrite: bool) -> None:
    """Refuse a picture that is there, or that cannot be drawn, before the work rather than after it."""
    if picture is not None:
        from seqformers.pictures import check_picture

        check_picture(picture)
        if picture.exists() and not overwrite:
            raise FileExistsError(f"{picture} is there; choose another name or replace it with --overwrite")


@app.command(rich_help_panel=RUN)
def embed(
    run: Run,
    sequences: Annotated[
        Path | None, typer.Argument(help="FASTA or FASTQ file, plain or compressed; - for standard input.")
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Vectors: .parquet or .jsonl; of tokens .txt too.")],
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Instead: the vectors of the model's words, from its table.")
    ] = False,
    pooling: Annotated[str, typer.Option(help="mean (over sequence tokens only) or cls.")] = "mean",
    layer: Annotated[int, typer.Option(help="Hidden states to take: -1 the last, 0 the embeddings.")] = -1,
    window: Window = None,
    step: Step = None,
    both_strands: BothStrands = False,
    batch_size: BatchSize = 64,
    device: Device = None,
    precision: Precision = "fp32",
    on_error: OnError = "raise",
    shard: Part = None,
    engine: Engine = "local",
    ray_address: RayAddress = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture of the vectors as a map, two components (.png, .svg, .pdf).")
    ] = None,
    table: Annotated[Path | None, typer.Option(help="Table with a column id, and one to colour the map by.")] = None,
    colour_by: Annotated[str | None, typer.Option(help="Column of --table.")] = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Turn every record of a FASTA file into a vector: columns id, num_windows, embedding.

    Example: `seqformers embed demo/run contigs.fasta --output vectors.parquet --pooling mean`

    Vectors of the words (k-mers) themselves, as Parquet or as word2vec's text, which gensim reads:

        seqformers embed demo/run --tokens --output words.txt

    As a map, coloured by what `predict` said of the same records:

        seqformers embed demo/run contigs.fasta -o vectors.parquet --plot map.png --table preds.tsv --colour-by label
    """
    if tokens != (sequences is None):
        raise ValueError("give a FASTA file, or --tokens for the table of the model's words; one of the two")
    if sequences is None:
        from seqformers.interpret.words import write_word_vectors

        path = write_word_vectors(run, output, overwrite=overwrite)
        shown = "import gensim; gensim.models.KeyedVectors.load_word2vec_format" if path.suffix == ".txt" else ""
        say(f"wrote {path}", f"{shown}({str(path)!r})" if shown else "")
        return
    from seqformers.inference.embed import embed as run_embed

    _not_there(plot, overwrite=overwrite or resume)
    if plot is None and (table or colour_by):
        raise ValueError("--table and --colour-by are of the map; name its picture with --plot map.png")
    path = run_embed(
        run, sequences, output, pooling=pooling, layer=layer, window=window, step=step, both_strands=both_strands,
        batch_size=batch_size, device=device, precision=precision, on_error=on_error, shard=shard, engine=engine,
        ray_address=ray_address, overwrite=overwrite, resume=resume, progress=shows_progress(),
    )  # fmt: skip
    if plot is not None:
        from seqformers.inference.plots import plot_map

        plot_map(path, plot, table=table, colour_by=colour_by, overwrite=overwrite or resume)
    said = f"import pandas; pandas.read_parquet({str(path)!r})" if path.suffix == ".parquet" else ""
    say(f"wrote {path}{f' and {plot}' if plot else ''}", said if plot else "the same with --plot map.png draws a map")


@app.command("explain-guides", rich_help_panel=RUN)
def explain_guides(
    source: Annotated[
        Path | None, typer.Argument(metavar="FASTA", help="Whose guides to look at; default: 2,000 made-up ones.")
    ] = None,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Table: position, part, place, letter, effect.")],
    picture: Annotated[Path | None, typer.Option(help="Map and logos of filters, .png, .svg or .pdf.")] = None,
    model: Annotated[str, typer.Option(help="fast, a folder or a Hub id.")] = "fast",
    pam: Annotated[str, typer.Option(help="Four IUPAC letters; several separated by commas.")] = "TTTV",
    device: Annotated[str | None, typer.Option(help="Torch device; default: a GPU when there is one.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Show what a guide model looks at: the effect of every letter at every place, and what its filters look for.

    Example: `seqformers explain-guides --output effects.tsv --picture effects.png`
    """
    from seqformers.guides.effects import explain_guides as run

    count = run(output, source, model=model, pam=pam, picture=picture, device=device, overwrite=overwrite)
    shown = "" if picture else "the same with --picture effects.png --overwrite draws the map"
    say(f"{count:,} contexts -> {output}{f', picture -> {picture}' if picture else ''}", shown)


@app.command(rich_help_panel=RUN)
def merge(
    shards: Annotated[list[Path], typer.Argument(help="What runs with --shard 1/n to n/n wrote, in any order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="What the single run would have written.")],
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep a finished output.")] = False,
) -> None:
    """Join the shards of an array job into what a single run writes, byte for byte.

    Complete calls, each line a task of its own:

        seqformers predict runs/phage-150 contigs.fasta --shard 1/2 --output part-1.tsv

        seqformers predict runs/phage-150 contigs.fasta --shard 2/2 --output part-2.tsv

        seqformers merge part-1.tsv part-2.tsv --output preds.tsv

    Shards of another model, input or option are refused, and a missing one is named. What a shard was written with
    stands beside it in `.NAME.seqformers.json`: take that file along when you move it.
    """
    from seqformers.merging import merge as run_merge

    path = run_merge(shards, output, overwrite=overwrite, resume=resume)
    say(
        f"wrote {path}, of {len(shards)} shards",
        "the shards may go; a resume of the single run would find it finished",
    )


@app.command(rich_help_panel=RUN)
def explain(
    run: Run,
    fasta: Sequences,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for tables and pictures.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            "-m",
            help="attention, mutations, gradients or motifs, may be repeated; or one of filters (of a seq_cnn), "
            "variants, words (k-mers), alignment and contacts (proteins).",
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label to explain; default: the positive one.")] = None,
    layer: Annotated[int, typer.Option(help="Layer whose attention is shown; -1 is the last.")] = -1,
    plots: Annotated[int, typer.Option(min=0, help="Draw pictures of the first so many records, or filters.")] = 20,
    known_motifs: Annotated[
        Path | None, typer.Option(help="Motifs in MEME format, such as JASPAR's, to match filters with.")
    ] = None,
    variants: Annotated[
        Path | None, typer.Option(help="VCF file, for the method variants; the FASTA file is then the genome.")
    ] = None,
    window: Window = None,
    step: Step = None,
    batch_size: BatchSize = 64,
    device: Device = None,
    precision: Precision = "fp32",
    on_error: OnError = "raise",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier explanation.")] = False,
    resume: Resume = False,
) -> None:
    """Show what a model looks at, base by base: tables (TSV) and pictures (PNG).

    A complete call:

        seqformers explain runs/phage-150 reads.fasta --output explained

    writes attention.tsv, mutations.tsv, scores.tsv and plots/. Add motifs of the records taken for phages:

        seqformers explain runs/phage-150 reads.fasta -o explained-motifs -m attention -m motifs --label phage

    What the filters of a convolutional network look for, as logos, a MEME file, and matches with known motifs:

        seqformers explain runs/promoters promoters.fasta -o filters --method filters --known-motifs JASPAR.meme

    Those of a TargetNet, from a table with the columns mirna and target, as a logo of each:

        seqformers explain targetnet pairs.tsv --output filters --method filters

    How much likelier a language model finds each alternative of a VCF file than the reference, both strands averaged:

        seqformers explain runs/pt genome.fa -o effects --method variants --variants calls.vcf

    Which words (k-mers) are attended to, beside their tf-idf; CpG by head; a map of the vectors of words:

        seqformers explain runs/dnavec genomes.fasta -o words --method words

    Soft alignment of proteins with the first of the file, by a PLUS-RNN:

        seqformers explain runs/plus proteins.fasta --output aligned --method alignment
    """
    from seqformers.interpret.explain import explain as run_explain

    folder = run_explain(
        run,
        fasta,
        output,
        methods=method,
        label=label,
        layer=layer,
        plots=plots,
        known_motifs=known_motifs,
        variants=variants,
        window=window,
        step=step,
        batch_size=batch_size,
        device=device,
        precision=precision,
        on_error=on_error,
        overwrite=overwrite,
        resume=resume,
    )
    names = sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
    say(f"wrote {', '.join(names)} to {folder}", f"look at {folder / 'plots'}" if "plots" in names else "")
