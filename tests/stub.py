"""What type checkers see of `seqformers`: `python -m tests.stub` writes `seqformers/__init__.pyi` from the table.

The public names are imported on first use, which a type checker cannot follow.
"""

from __future__ import annotations

from collections import defaultdict

import seqformers
from tests.conftest import ROOT

PATH = ROOT / "seqformers" / "__init__.pyi"


def stub() -> str:
    """Text of the stub, laid out as `ruff format` does."""
    modules = defaultdict(list)
    for name, module in seqformers._EXPORTS.items():
        modules[module].append(name)
    lines = ["# Written by `python -m tests.stub` from the table of families and the names in `__init__.py`."]
    for module, names in sorted(modules.items()):
        line = f"from {module} import {', '.join(sorted(names))}"
        listed = "".join(f"    {name},\n" for name in sorted(names))
        lines.append(line if len(line) <= 119 else f"from {module} import (\n{listed})")
    names = "".join(f'    "{name}",\n' for name in seqformers.__all__)
    return "\n".join([*lines, "", "__version__: str", f"__all__ = [\n{names}]", ""])


if __name__ == "__main__":
    PATH.write_text(stub(), encoding="utf-8")
