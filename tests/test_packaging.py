"""What other package managers read: the bioconda recipe and the Dockerfile say what `pyproject.toml` says."""

from __future__ import annotations

import re
import tomllib

import yaml
from jinja2 import Environment, StrictUndefined

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What conda-forge calls a package, where it differs.
CONDA = {
    "huggingface-hub": "huggingface_hub", "lmdb": "python-lmdb", "matplotlib": "matplotlib-base", "torch": "pytorch",
}  # fmt: skip


def split(requirement: str) -> tuple[str, str]:
    """Name and versions."""
    found = re.match(r"([\w.-]+)(?:\[.*\])?\s*(.*)", requirement)
    assert found
    return found[1], found[2].replace(" ", "")


def recipe() -> dict:
    """The recipe as conda-build renders it."""
    text = (ROOT / "packaging" / "bioconda" / "meta.yaml").read_text(encoding="utf-8")
    known = {"PYTHON": "python", "pin_subpackage": lambda name, max_pin: f"{name} {max_pin}"}
    return yaml.safe_load(Environment(undefined=StrictUndefined).from_string(text).render(known))


def test_the_bioconda_recipe_is_of_this_package():
    found, project = recipe(), PROJECT["project"]
    assert found["package"] == {"name": project["name"], "version": project["version"]}
    scripts = [f"{name} = {target}" for name, target in project["scripts"].items()]
    assert found["build"]["entry_points"] == scripts and found["build"]["noarch"] == "python"
    assert (ROOT / "packaging" / "bioconda" / found["source"]["path"]).resolve() == ROOT
    assert found["about"]["license"] == project["license"] and (ROOT / found["about"]["license_file"]).is_file()
    assert found["about"]["summary"] and found["about"]["license_family"] == "APACHE"
    assert f"{project['name']} --help" in found["test"]["commands"] and found["test"]["imports"] == [project["name"]]
    assert found["build"]["run_exports"], "bioconda's linter asks for it"


def test_it_asks_for_the_same_versions():
    found = recipe()["requirements"]
    wanted = {CONDA.get(name, name): versions for name, versions in map(split, PROJECT["project"]["dependencies"])}
    asked = dict(map(split, found["run"]))
    assert asked.pop("python") == PROJECT["project"]["requires-python"].replace(" ", "")
    assert asked == wanted
    host = dict(map(split, found["host"]))
    assert all(host[name] == versions for name, versions in map(split, PROJECT["build-system"]["requires"]))
    assert found["run"] == sorted(found["run"], key=lambda line: (not line.startswith("python "), line))


def instructions() -> list[tuple[str, str]]:
    """Word and arguments of every instruction of the Dockerfile."""
    lines = [line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0], line.partition(" ")[2]) for line in joined.splitlines() if line.strip()]


def test_the_image_is_built_in_two_stages_and_runs_as_nobody_in_particular():
    found = instructions()
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "USER", "ENV", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {word for word, _ in found} <= known and found[0][0] == "FROM"
    stages = [index for index, (word, _) in enumerate(found) if word == "FROM"]
    assert len(stages) == 2
    last = found[stages[1] :]
    (user,) = [value for word, value in last if word == "USER"]
    assert user != "root" and any(word == "RUN" and f"useradd --create-home {user}" in value for word, value in last)
    words = [word for word, _ in last]
    assert "RUN" not in words[words.index("USER") :], "nothing is installed after the user was changed"
    (start,) = [value for word, value in last if word == "ENTRYPOINT"]
    assert yaml.safe_load(start) == [*PROJECT["project"]["scripts"]]


def test_the_image_has_what_the_package_is_built_from():
    found = instructions()
    copied = [path for word, value in found if word == "COPY" and "--from" not in value for path in value.split()[:-1]]
    assert all((ROOT / path).exists() for path in copied)
    rooms = {path.split("/")[0] for path in PROJECT["tool"]["setuptools"]["package-dir"].values()}
    assert rooms <= set(copied) and {"pyproject.toml", "seqformers", PROJECT["project"]["readme"], "LICENSE"} <= set(
        copied
    )
    for word, value in found:
        if word == "FROM":
            version = re.search(r"python:(\d+)\.(\d+)", value)
            assert version and ":latest" not in value
            least = re.search(r"(\d+)\.(\d+)", PROJECT["project"]["requires-python"])
            assert least and tuple(map(int, version.groups())) >= tuple(map(int, least.groups()))
        if "pip install" in value:
            assert value.count("pip install") == value.count("--no-cache-dir") == value.count("-c constraints.txt")
            for extras in re.findall(r"'\.\[(.*?)\]'", value):
                assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
