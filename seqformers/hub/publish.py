"""Push many finished folders at once: `FOLDER/{models,datasets,spaces}/NAME` to `ORG/NAME`, each as `push` does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from seqformers.hub.push import PushPlan, PushResult, plan_push, push_to_hub

__all__ = ["Planned", "plan_all", "publish"]

# Models and data first: a Space may name them.
_KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}


@dataclass(frozen=True)
class Planned:
    """One repository of a release: its name on the Hub, its kind, and what would go."""

    repo_id: str
    kind: str
    plan: PushPlan


def plan_all(folder: str | Path, organisation: str) -> list[Planned]:
    """Check every repository of a release; nothing is sent and no network is needed.

    Args:
        folder (`str` or `Path`): Holds folders `models`, `datasets` and `spaces`, one repository a sub-folder.
        organisation (`str`): Organisation or user that they go to.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds nothing to publish, or repositories are not complete; all that is wrong, by name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}; `make release` writes dist/hub")
    places = [(kind, place) for name, kind in _KINDS.items() for place in sorted((folder / name).glob("*/"))]
    if not places:
        raise ValueError(f"{folder} holds none of {', '.join(f'{name}/NAME' for name in _KINDS)}")
    planned, wrong = [], []
    for kind, place in places:
        repo_id = f"{organisation}/{place.name}"
        try:
            planned.append(Planned(repo_id, kind, plan_push(place, repo_id, repo_type=kind)))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("nothing was sent:\n" + "\n".join(wrong))
    return planned


def publish(
    folder: str | Path,
    organisation: str,
    *,
    private: bool = False,
    tag: str | None = None,
    said: Callable[[str], object] = lambda line: None,
) -> list[PushResult]:
    """Push every repository of a release, one commit each.

    All are checked before the first goes. One that the Hub has already, unchanged, gets no commit, so after an
    interruption the same call goes on.

    Args:
        folder (`str` or `Path`): As in [`plan_all`].
        organisation (`str`): Organisation or user.
        private (`bool`): Make new repositories private.
        tag (`str`, *optional*): Tag of this version, the same on all; the next of v1, v2, ... of each if absent.
        said (callable): Is told a line after each.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: something is not complete.
        OSError: the Hub refused or could not be reached; what had gone stays.
    """
    results = []
    planned = plan_all(folder, organisation)
    for number, repository in enumerate(planned, 1):
        result = push_to_hub(
            repository.plan.folder, repository.repo_id, repo_type=repository.kind, private=private, tag=tag
        )
        results.append(result)
        state = f"commit {result.commit[:8]}" if result.changed else "nothing had changed"
        said(f"{number} of {len(planned)}  {result.url}: {state}")
    return results
