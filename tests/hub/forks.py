"""Run scripts each in a process of its own without paying for the imports of torch and transformers every time.

A stranger's interpreter is started once; it imports torch, transformers and datasets, and nothing of seqformers.
Every script then runs in a fork of it, as `__main__`, with its own arguments, folder and environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Finished", "Forks"]

_WARM = """
import json, os, runpy, sys, traceback
import torch, datasets, transformers
from transformers import Trainer, AutoModel, AutoTokenizer, AutoProcessor, pipeline
assert "seqformers" not in sys.modules
print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for number, path in ((1, job["stdout"]), (2, job["stderr"])):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            os.chdir(job["folder"])
            os.environ.update(job["environment"])
            sys.argv = [job["script"], *job["arguments"]]
            if job["stranger"]:
                sys.modules["seqformers"] = None  # importing it fails as if it were not installed
            runpy.run_path(job["script"], run_name="__main__")
            code = 0
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else 0 if exit.code is None else 1
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@dataclass(frozen=True)
class Finished:
    """Exit code and output of a script."""

    code: int
    stdout: str
    stderr: str


class Forks:
    """The warm interpreter. `environment` must hold what the Hub's clients read when they are imported."""

    def __init__(self, environment: dict[str, str], folder: Path):
        # A folder without seqformers in it, and no path of this checkout.
        environment = {key: value for key, value in environment.items() if key != "PYTHONPATH"}
        self._process: Any = subprocess.Popen(
            [sys.executable, "-c", _WARM], stdin=-1, stdout=-1, env=environment, text=True, cwd=folder
        )
        assert self._process.stdout.readline() == "ready\n"

    def run(
        self, script: str | Path, *arguments: str, folder: Path, stranger: bool = True, **environment: str
    ) -> Finished:
        """Run a script to its end.

        Args:
            script: Path of the script.
            *arguments: Its command line.
            folder: Where it runs; its output is kept there too.
            stranger: Whether `import seqformers` must fail.
            **environment: Further variables.
        """
        streams = {name: str(folder / f"{Path(script).stem}.{name}") for name in ("stdout", "stderr")}
        job = {
            "script": str(script),
            "arguments": list(arguments),
            "folder": str(folder),
            "stranger": stranger,
            "environment": environment,
        }
        self._process.stdin.write(json.dumps(job | streams) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Finished(code, *(Path(path).read_text() for path in streams.values()))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
