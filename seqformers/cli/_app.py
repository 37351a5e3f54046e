"""The app itself: its groups of verbs, the parameters that several verbs share, and the end of a user's mistake."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

# The jobs by user, as `seqformers` without arguments lists them.
ANSWERS = "FASTA in, answers out"
RUN = "With a model of your own, or from the Hub"
TRAIN = "Build data and train"
SHARE = "Publish, and look after the installation"


class _ByUser(TyperGroup):
    """The verbs in the order of who comes first: answers, own models, training, publishing."""

    def list_commands(self, ctx: Any) -> list[str]:
        panels = [ANSWERS, RUN, TRAIN, SHARE]
        return sorted(
            self.commands, key=lambda name: panels.index(getattr(self.commands[name], "rich_help_panel", ""))
        )


app = typer.Typer(
    name="seqformers",
    cls=_ByUser,
    help="Transformers for DNA, RNA and protein sequences: build data, train, predict, publish.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

# Parameters of several verbs.
RecipeFile = Annotated[Path, typer.Argument(help="Recipe, a YAML file.")]
Changes = Annotated[list[str] | None, typer.Argument(help="Changes as key=value, the key dotted.")]
RunFolder = Annotated[Path | None, typer.Option("--output", "-o", help="Run folder; default runs/NAME of the recipe.")]
OverwriteRun = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run.")]
OnError = Annotated[
    Literal["raise", "skip"], typer.Option(help="At a record that cannot be used: raise, or skip it and count.")
]
ResumeRun = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")]
Curves = Annotated[
    Path | None, typer.Option("--plot", help="Picture of losses and scores over steps (.png, .svg, .pdf).")
]
Part = Annotated[
    str | None,
    typer.Option(
        "--shard", metavar="i/n", help="Only the i-th of n shares of the work; `seqformers merge` joins them."
    ),
]
Run = Annotated[str, typer.Argument(help="Run folder, or Hub repository (owner/name).")]
Sequences = Annotated[Path, typer.Argument(help="FASTA or FASTQ file, plain or compressed; - for standard input.")]
Window = Annotated[
    int | None, typer.Option(min=1, help="Bases (residues) a window; default: what the model was trained on.")
]
Step = Annotated[int | None, typer.Option(min=1, help="Distance between windows; default: the window.")]
BothStrands = Annotated[bool, typer.Option("--both-strands", help="Average over both strands of DNA.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Windows a forward pass; the answer does not depend on it.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU when there is one.")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "int8"],
    typer.Option(help="bf16 is faster where the hardware has it, and less exact; auto: bf16 where it has; int8: CPU."),
]
Engine = Annotated[
    Literal["local", "ray", "openvino"],
    typer.Option(help="ray: an actor a GPU or core of a cluster that sees the files; openvino: faster on a CPU."),
]
ShardEngine = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", help="ray: a task a GPU or core of a cluster that sees the files, joined at the end."),
]
RayAddress = Annotated[
    str | None, typer.Option(help="Of a running Ray cluster, auto or host:port; default: one on this machine.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an interrupted output.")]


def _print_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


_quiet = False  # set once, by --quiet


@app.callback()
def _options(
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Before the verb: no progress bars and no hints; warnings still come."),
    ] = False,
) -> None:
    """Transformers for DNA, RNA and protein sequences: build data, train, predict, publish.

    First time here? `seqformers doctor` looks at the installation; `seqformers VERB --help` shows an example to paste.
    """
    global _quiet
    _quiet = quiet


def say(done: str, following: str = "") -> None:
    """On stderr: what was done and, as a hint, the command that people run next."""
    if not _quiet:
        typer.echo(done, err=True)
        if following:
            typer.echo(f"next: {following}", err=True)


def shows_progress() -> bool:
    return not _quiet and sys.stderr.isatty()


def main() -> None:
    """Run the command line; a user's mistake ends with one line on stderr and exit code 2, not a traceback."""
    # Read when torch loads. Threads that wait by spinning take a core from whoever has work for it, themselves too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    warnings.showwarning = _print_warning
    try:
        app()
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        # A configuration's field of another type; its class is huggingface_hub's, which is not imported for this.
        if type(error).__name__ != "StrictDataclassFieldValidationError":
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command with --resume to go on", file=sys.stderr)
        sys.exit(130)
