"""One interpreter without seqformers for all tests here that need a stranger's process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.hub.forks import Forks


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    forks = Forks(dict(os.environ), tmp_path_factory.mktemp("forks"))
    yield forks
    forks.close()
