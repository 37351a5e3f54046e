"""What of the site is not written by hand: commands, API, models, data sets, benchmarks and the executed tutorials.

MkDocs calls `on_files` and `on_nav` before it writes pages. Every page made here is read from what it describes, so it
cannot say something else: a verb's help, a docstring, the table of families, a data set's card, a result file.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from tutorials import executed  # beside this file: MkDocs finds it while it loads a hook

ROOT = Path(__file__).resolve().parents[2]

# Pages of the repository that the site shows too: source -> place in the site.
COPIED = {
    "benchmarks/LOG.md": "benchmarks/log.md",
    "CHANGELOG.md": "benchmarks/changelog.md",
    "CONTRIBUTING.md": "decisions/contributing.md",
    **{str(path.relative_to(ROOT)): f"benchmarks/{path.name}"
       for path in [*ROOT.glob("benchmarks/tables/*.md"), *ROOT.glob("benchmarks/results/*.md")]},
    **{f"datasets_scripts/{path.parent.name}/README.md": f"data/{path.parent.name}.md"
       for path in ROOT.glob("datasets_scripts/*/README.md")},
}  # fmt: skip


def on_startup(command: str, dirty: bool) -> None:
    """Lay out the package before mkdocstrings looks for its folder, which a fresh clone does not have."""
    _lay_out_package(ROOT / ".tutorials" / "package")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Write the navigation of the folders whose pages are made here."""
    sys.path.insert(0, str(ROOT))  # the site is built in a checkout, whose benchmarks are no part of the package
    tutorials = sorted(path.stem for path in ROOT.glob("docs/tutorials/*.py"))
    made = {
        "tutorials/": [f"tutorials/{name}.md" for name in tutorials],
        "decisions/": [*sorted(f"decisions/{path.name}" for path in ROOT.glob("docs/decisions/*.md")),
                       "decisions/contributing.md"],
        "data/": ["data/index.md", *sorted(place for place in COPIED.values() if place.startswith("data/"))],
        "commands/": ["commands/index.md", *(f"commands/{verb}.md" for verb in sorted(_verbs()))],
        "api/": ["api/index.md", *(f"api/{room}.md" for room in sorted(_rooms()))],
        "benchmarks/": ["benchmarks/index.md", "benchmarks/speed.md",
                        *sorted(place for place in COPIED.values() if place.startswith("benchmarks/"))],
    }  # fmt: skip
    config.nav = _with_folders(config.nav, made)
    return config


def _lay_out_package(place: Path) -> None:
    """The package's sources as they are installed: docstrings are read from files, and three rooms stand elsewhere.

    Stubs are left out, since what they annotate would stand in for the docstrings.
    """
    shutil.rmtree(place, ignore_errors=True)
    for source in [ROOT / "seqformers", *(ROOT / name for name in ("modeling", "tokenization", "datasets_scripts"))]:
        goal = place / "seqformers" / ("" if source.name == "seqformers" else source.name)
        for path in source.rglob("*.py"):
            copy = goal / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _with_folders(nav: Any, made: dict[str, list[str]]) -> Any:
    if isinstance(nav, list):
        return [_with_folders(entry, made) for entry in nav]
    if isinstance(nav, dict):
        return {title: _with_folders(entry, made) for title, entry in nav.items()}
    return made.get(nav, nav)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    pages: dict[str, str | bytes] = {}
    for source, place in COPIED.items():
        pages[place] = _copied(ROOT / source, place)
    pages |= (
        _commands() | _api() | _data() | _benchmarks() | executed(ROOT / "docs" / "tutorials", ROOT / ".tutorials")
    )
    pages["models.md"] = _models()
    for place, content in pages.items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links and pictures that leave the documents to their copy in the site, or show them as plain text."""
    source = ROOT / "docs" / page.file.src_uri
    for original, place in COPIED.items():
        if page.file.src_uri == place:
            source = ROOT / original
    return re.sub(r"\[([^\]]+)\]\(([^)#\s]+)(#[^)]*)?\)", lambda match: _link(match, source, page), markdown)


def _link(match: re.Match[str], source: Path, page: Page) -> str:
    text, target, anchor = match[1], match[2], match[3] or ""
    if "://" in target or target.startswith("mailto:"):
        return match[0]
    goal = Path(os.path.normpath(source.parent / target))
    inside = goal.is_relative_to(ROOT / "docs")
    place = str(goal.relative_to(ROOT / "docs")) if inside else COPIED.get(str(goal.relative_to(ROOT)), "")
    if place and (not inside or source.is_relative_to(ROOT / "docs") is False):
        here = Path(page.file.src_uri).parent
        return f"[{text}]({os.path.relpath(place, here)}{anchor})"
    if inside:
        return match[0]
    if goal.exists():  # a file of the repository that is no page
        return f"{text} (`{goal.relative_to(ROOT)}`)"
    raise PluginError(f"{page.file.src_uri} links to {target}, which is not there")


def _copied(path: Path, place: str) -> str:
    """A page of the repository; the YAML head of a card is no text."""
    return re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


def _verbs() -> dict[str, Any]:
    from typer.main import get_command

    from seqformers.cli import app

    command: Any = get_command(app)
    return dict(command.commands)


def _commands() -> dict[str, str | bytes]:
    verbs = _verbs()
    by_user: dict[str, list[str]] = {}
    for name, verb in verbs.items():
        by_user.setdefault(verb.rich_help_panel, []).append(name)
    index = [
        "# Commands",
        "",
        "`seqformers VERB --help` shows the same; `seqformers --quiet VERB` leaves out bars and hints.",
        "",
    ]
    for user, names in by_user.items():
        index += [f"## {user}", ""]
        index += [f"- [`{name}`]({name}.md): {(verbs[name].help or '').partition(chr(10))[0]}" for name in names] + [
            ""
        ]
    return {"commands/index.md": "\n".join(index)} | {
        f"commands/{name}.md": _command(name, verb) for name, verb in verbs.items()
    }


def _command(name: str, verb: Any) -> str:
    lines = [
        f"# `seqformers {name}`",
        "",
        re.sub(r"(?m)^(?=\S)", "", verb.help or ""),
        "",
        "## Arguments and options",
        "",
    ]
    lines += ["| | | default |", "|---|---|---|"]
    for parameter in verb.params:
        if parameter.name == "help":
            continue
        option = parameter.param_type_name == "option"
        names = ", ".join(f"`{word}`" for word in (parameter.opts if option else [parameter.name.upper()]))
        default = parameter.default
        shown = "" if default in (None, False) or callable(default) else f"`{default}`"
        text = " ".join((parameter.help or "").split()).replace("|", "/")
        lines.append(f"| {names} | {text} | {'required' if parameter.required else shown} |")
    return "\n".join(lines)


def _rooms() -> dict[str, list[str]]:
    """Room -> the dotted paths of its public names, as `import seqformers` gives them."""
    import seqformers

    rooms: dict[str, list[str]] = {}
    for name in seqformers.__all__:
        if name == "__version__":
            continue
        home = seqformers._EXPORTS[name]
        room = "-".join(home.split(".")[1:-1]) or home.rpartition(".")[2]
        rooms.setdefault(room, []).append(f"{home}.{name}")
    return rooms


def _api() -> dict[str, str | bytes]:
    pages: dict[str, str | bytes] = {}
    index = ["# API", "", "Every name below is imported from `seqformers`.", ""]
    for room, names in sorted(_rooms().items()):
        index.append(
            f"- [{room.replace('-', ' / ')}]({room}.md): "
            + ", ".join(f"`{name.rpartition('.')[2]}`" for name in names)
        )
        lines = [f"# {room.replace('-', ' / ')}", ""]
        for path in names:
            module, _, name = path.rpartition(".")
            if not (getattr(import_module(module), name).__doc__ or "").strip():
                raise PluginError(f"{path} is public and has no docstring")
            members = "[forward]" if name.startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")) else "false"
            lines += [f"::: {path}", "    options:", f"      members: {members}", ""]
        pages[f"api/{room}.md"] = "\n".join(lines)
    return pages | {"api/index.md": "\n".join(index)}


def _models() -> str:
    from seqformers._families import FAMILIES

    lines = [
        "# Model zoo",
        "",
        "What works with each family (`torch.export` and ONNX, gradient checkpointing, packed rows, int8, weights of",
        "classes, LoRA): [the table](families.md). Presets are class methods of the configuration, and `model.preset`",
        "of a recipe; LoRA targets are what PEFT's `LoraConfig(target_modules=[...])` takes.",
        "",
    ]
    lines += ["| family | what it is | paper | presets | classes | LoRA targets |", "|---|---|---|---|---|---|"]
    lora = _lora_targets()
    for family in FAMILIES:
        about = (import_module(family.modeling_module).__doc__ or "").strip().partition("\n\n")[0]
        what = " ".join(about.split()).replace("|", "/")
        config = getattr(import_module(family.config_module), family.config)
        presets = ", ".join(f"`{name}`" for name, value in vars(config).items() if isinstance(value, classmethod))
        classes = ", ".join(f"`{name}`" for name in family.models.values())
        link = f"[`{family.model_type}`](api/modeling-{family.room}.md)"
        paper, targets = _paper(family.model_type), lora.get(family.model_type, "")
        lines.append(f"| {link} | {what} | {paper} | {presets} | {classes} | {targets} |")
    lines += [
        "",
        "## Packaged models",
        "",
        "They answer offline, right after `pip install`; `seqformers doctor` asks each a known question.",
        "",
    ]
    for card in sorted(ROOT.glob("modeling/*/pretrained/*/README.md")):
        text = _copied(card, "")
        first = next(line for line in text.splitlines() if line and not line.startswith(("#", "<", "|", "```")))
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", first)  # a card's links lead elsewhere
        lines.append(f"- **{card.parent.name}**: {plain}")
    return "\n".join(lines)


def _paper(model_type: str) -> str:
    """First author, year and title of the paper that the family's card cites first."""
    text = (ROOT / "model_cards" / f"{model_type}.md").read_text(encoding="utf-8")
    if "_tape" in text:
        text += (ROOT / "model_cards" / "_tape.md").read_text(encoding="utf-8")
    found = {
        key: re.search(rf"^\s*{key}\s*=\s*\{{(.+?)\}},?\s*$", text, re.MULTILINE)
        for key in ("author", "title", "year")
    }
    if not all(found.values()):
        return ""
    accents = {'\\"u': "ü", '\\"o': "ö", '\\"a': "ä", "\\'a": "á", "\\'e": "é"}
    author, title, year = (re.sub(r"[{}]", "", match[1]) for match in found.values() if match)
    for written, letter in accents.items():
        author = author.replace(written, letter)
    return f"{author.partition(',')[0]} {year}, {title}".replace("|", "/")


def _lora_targets() -> dict[str, str]:
    """Family -> the layers that LoRA takes, of the table that the tests try."""
    table = (ROOT / "docs" / "families.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:3] == "| `"]
    return {row[0].strip("`"): row[-1].removeprefix("works: ") for row in rows}


def _data() -> dict[str, str | bytes]:
    import yaml

    lines = [
        "# Data sets",
        "",
        "`seqformers build NAME` writes Parquet with a card and a report; sources keep their own licences.",
        "",
    ]
    lines += ["| name | what | licence as the card states it |", "|---|---|---|"]
    for card in sorted(ROOT.glob("datasets_scripts/*/README.md")):
        text = card.read_text(encoding="utf-8")
        head = yaml.safe_load(text.split("---")[1]) if text.startswith("---") else {}
        name, licence = card.parent.name, head.get("license", "see its page")
        lines.append(f"| [{name}]({name}.md) | {head.get('pretty_name', '')} | {licence} |")
    return {"data/index.md": "\n".join(lines)}


def _png(figure: Any) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()


def _benchmarks() -> dict[str, str | bytes]:
    from benchmarks.readme import BLOCKS
    from benchmarks.speed.plots import draw_curves, draw_ratios

    index = [
        "# Benchmarks",
        "",
        "Every figure is read from `benchmarks/results/*.json`, which name command, commit, data and device.",
    ]
    for name, block in BLOCKS.items():
        if name != "speed":
            text = block().replace("](docs/", "](../").replace("](recipes/", "](../../benchmarks/recipes/")
            index += ["", f"## {name}", "", text]
    speed = ["# Speed", "", "Each in one run with its contender.", "", "![ratios](speed.png)", "", BLOCKS["speed"]()]
    speed += [
        "",
        "Costs over length, batch, size of the model and number of records:",
        "",
        "![costs](curves.png)",
    ]
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in ROOT.glob("benchmarks/results/speed_*.json")
    }
    lines = [
        f"| `{name}` | `{found['command']}` | {found['date']} | {found['device']} |"
        for name, found in sorted(results.items())
    ]
    speed += ["", "| result | command | date | device |", "|---|---|---|---|", *lines]
    return {
        "benchmarks/index.md": "\n".join(index),
        "benchmarks/speed.md": "\n".join(speed),
        "benchmarks/speed.png": _png(draw_ratios(BLOCKS["speed"]())),
        "benchmarks/curves.png": _png(
            draw_curves(results["speed_pretraining_curves"]["result"], results["speed_records"]["result"])
        ),
    }


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """A page that no menu leads to is a mistake."""
    lost = [
        file.src_uri for file in files.documentation_pages() if file.page is None and not file.inclusion.is_excluded()
    ]
    if lost:
        raise PluginError(f"no menu leads to {', '.join(lost)}")
    return nav
