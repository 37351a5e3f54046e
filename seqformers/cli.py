"""The `seqformers` command: one verb a job, each a thin layer over a library function.

Library code is imported inside the commands, so `seqformers --help` answers at once.
"""

from __future__ import annotations

import sys

import typer

app = typer.Typer(
    name="seqformers",
    help="Transformers for DNA, RNA and protein sequences: build data, train, predict, publish.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback()
def _options() -> None:
    """Transformers for DNA, RNA and protein sequences: build data, train, predict, publish."""


def main() -> None:
    """Run the command line; a user's mistake ends with one line on stderr and exit code 2, not a traceback."""
    try:
        app()
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; run the same command with --resume to go on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
