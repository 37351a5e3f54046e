"""The house itself: public names resolve, names are typed, every package is installed, importing is cheap."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib import import_module

import pytest

import seqformers
from seqformers._families import FAMILIES
from tests.conftest import ROOMS_ABOVE, ROOT, foreign_rooms
from tests.stub import PATH, stub

LOWER_ROOMS = ("modeling", "tokenization", "datasets_scripts")


@pytest.mark.parametrize("name", seqformers.__all__)
def test_public_names_resolve(name):
    assert getattr(seqformers, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = seqformers.Nonsense


def test_pyproject_lists_every_package():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for room in (*LOWER_ROOMS, "seqformers", "model_cards")
        for path in (ROOT / room).rglob("__init__.py")
        if "__pycache__" not in path.parts
    }
    assert listed == {name if name.split(".")[0] == "seqformers" else f"seqformers.{name}" for name in found}


def test_all_rooms_are_of_this_checkout(tmp_path):
    assert foreign_rooms(ROOT) == {}
    assert set(foreign_rooms(tmp_path)) == {"seqformers", *(f"seqformers.{room}" for room in ROOMS_ABOVE)}
    mapped = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"])
    assert mapped == {"seqformers", *(f"seqformers.{room}" for room in ROOMS_ABOVE)}


def test_a_run_in_another_checkout_is_refused(tmp_path):
    """A copy of the front door alone: its other rooms would come from here."""
    shutil.copytree(ROOT / "seqformers", tmp_path / "seqformers", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "hub", tmp_path / "tests" / "hub", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "conftest.py"):
        shutil.copy(ROOT / "tests" / name, tmp_path / "tests" / name)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path / "tests")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 4 and f"seqformers.modeling from {ROOT / 'modeling'}" in done.stderr, done.stderr


def test_type_checkers_see_every_public_name():
    assert PATH.read_text() == stub(), "run: python -m tests.stub"


_CONSUMER = {
    "right.py": """
from seqformers import KmerBertConfig, KmerBertForMaskedLM, KmerTokenizer, __version__
k: int = KmerTokenizer(k=6).k
model: KmerBertForMaskedLM = KmerBertForMaskedLM(KmerBertConfig(k=4))
version: str = __version__
""",
    "wrong.py": """
from seqformers import KmerBertModel, KmerTokenizer, TargetNetProcessor, predict
from seqformers import Nonsense
KmerTokenizer(k="six")
KmerBertModel(3)
TargetNetProcessor(step="one")
predict("run", "reads.fasta", "out.tsv", batch_size="many")
""",
}


def test_a_wrong_argument_fails_a_consumers_type_check(tmp_path):
    """As installed: the rooms below one folder, which carries `py.typed`."""
    site = tmp_path / "site" / "seqformers"
    site.mkdir(parents=True)
    for path in [*(ROOT / "seqformers").iterdir(), *(ROOT / room for room in LOWER_ROOMS)]:
        (site / path.name).symlink_to(path)
    assert (site / "py.typed").is_file()
    for name, text in _CONSUMER.items():
        (tmp_path / name).write_text(text)
    skipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"][0]["module"]
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nignore_missing_imports = True\nfollow_imports = silent\nmypy_path = site\nstrict = True\n"
        f"disallow_untyped_calls = False\n[mypy-{','.join(skipped)}]\nfollow_imports = skip\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *_CONSUMER]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "right.py" not in done.stdout, done.stdout
    for line in range(3, 8):
        assert f"wrong.py:{line}: error" in done.stdout, done.stdout


def test_file_stems_are_unique():
    stems = [path.stem for room in ("modeling", "tokenization") for path in (ROOT / room).rglob("*.py")]
    stems = [stem for stem in stems if stem != "__init__"]
    assert len(stems) == len(set(stems))


def test_import_is_cheap():
    code = "import sys, seqformers; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_families_are_registered(family):
    from transformers import AutoConfig

    config = getattr(import_module(family.config_module), family.config)
    assert type(AutoConfig.for_model(family.model_type)) is config


@pytest.mark.parametrize(
    "first",
    [
        "import transformers.models.auto.modeling_auto",
        "from transformers import Trainer",
        "from transformers.models.bert.modeling_bert import BertModel",
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_registration_works_in_any_import_order(first, before):
    lines = ["import seqformers", first] if before else [first, "import seqformers"]
    check = (
        "import transformers as t\n"
        "from seqformers._families import FAMILIES\n"
        "for f in FAMILIES:\n"
        "    config = t.AutoConfig.for_model(f.model_type)\n"
        "    for auto, name in f.models.items():\n"
        "        if hasattr(t, auto):\n"
        "            assert getattr(t, auto)._model_mapping[type(config)].__name__ == name\n"
    )
    subprocess.run([sys.executable, "-c", "\n".join([*lines, check])], check=True)


def test_a_bert_configuration_can_be_imported_first():
    """It loads the Auto classes while it is being defined."""
    subprocess.run([sys.executable, "-c", "import seqformers; from transformers import BertConfig"], check=True)
