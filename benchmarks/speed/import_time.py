"""How much `import seqformers` adds, alone and on top of transformers, each time in a fresh interpreter.

The cases take turns, so that a change of the machine's load reaches all of them; medians of CPU and of wall time.

    python -m benchmarks.speed.import_time
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time

from benchmarks._results import write_result

CASES = {
    "nothing": "pass",
    "import seqformers": "import seqformers",
    "import transformers": "import transformers",
    "import transformers, seqformers": "import transformers, seqformers",
    # Registration loads the families' code when the Auto classes load, and with it the BERT they build on.
    "from transformers import AutoModel, BertModel": "from transformers import AutoModel, BertModel",
    "import seqformers; from transformers import AutoModel, BertModel": (
        "import seqformers; from transformers import AutoModel, BertModel"
    ),
    "import seqformers.cli": "import seqformers.cli",
}


def measure(code: str) -> tuple[float, float]:
    """Seconds of wall and of CPU time of one interpreter that runs `code`."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    for code in CASES.values():  # byte code and file cache
        measure(code)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CASES}
    for _ in range(arguments.repeats):
        for name, code in CASES.items():
            found[name].append(measure(code))
    table = {
        name: {
            "wall_seconds": round(statistics.median(wall for wall, _ in times), 3),
            "cpu_seconds": round(statistics.median(cpu for _, cpu in times), 3),
        }
        for name, times in found.items()
    }
    auto = "from transformers import AutoModel, BertModel"
    ours = f"import seqformers; {auto}"
    result = {
        "what": "time of a fresh interpreter, medians",
        "repeats": arguments.repeats,
        "cases": table,
        "added_seconds": {
            kind: {
                "to a bare interpreter": round(table["import seqformers"][kind] - table["nothing"][kind], 3),
                "to import transformers": round(
                    table["import transformers, seqformers"][kind] - table["import transformers"][kind], 3
                ),
                "to AutoModel and BertModel, all families registered": round(table[ours][kind] - table[auto][kind], 3),
            }
            for kind in ("wall_seconds", "cpu_seconds")
        },
    }
    print(write_result("speed_import", result, data="none").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
