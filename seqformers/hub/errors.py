"""What the Hub's clients raise, said in one line that names the repository and the way out. Tokens never appear."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import errors

from seqformers.hub.private import redact

__all__ = ["clear_hub_errors"]

_STATUS = re.compile(r"HTTP status \w+ error \((\d{3}) [^)]*\)(?:, domain: (\S+))?")  # as the Xet client words it
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def clear_hub_errors(repo_id: str, api: Any) -> Iterator[None]:
    """Turn the clients' errors about `repo_id` into one-line ones.

    Args:
        repo_id (`str`): The repository, for the message.
        api (`HfApi`): Names the endpoint in the message.

    Raises:
        ValueError: the card was refused, or a name is not allowed.
        OSError: everything else: token, rights, network, disk, a commit in between.
    """
    try:
        yield
    except errors.LocalTokenNotFoundError as error:
        raise OSError(f"no token for {api.endpoint}; run `hf auth login` or set HF_TOKEN") from error
    except errors.OfflineModeIsEnabled as error:
        raise OSError(f"HF_HUB_OFFLINE is set, so {repo_id} cannot be reached; unset it") from error
    except errors.HFValidationError as error:
        raise ValueError(redact(f"{repo_id!r} is no name for a repository: {_first_line(error)}")) from error
    except errors.HfHubHTTPError as error:
        raise _explained(error, repo_id) from error
    except (errors.HTTPError, ConnectionError) as error:  # the first is the HTTP library's own: no answer came
        answered = _STATUS.search(str(error))
        if answered:
            raise OSError(
                f"{answered[2] or api.endpoint} answered {answered[1]} for {repo_id}: its store for large files (Xet) "
                "gave no access. Check the name and what your token may do, or go without it: HF_HUB_DISABLE_XET=1"
            ) from error
        raise OSError(
            f"no connection to {api.endpoint} ({type(error).__name__}); try again when it can be reached, what has "
            "arrived is not sent a second time"
        ) from error
    except RuntimeError as error:
        if not str(error).startswith("Error while uploading"):
            raise
        cause = type(error.__cause__).__name__ if error.__cause__ else "unknown cause"
        raise OSError(
            f"the upload to {repo_id} was cut off ({cause}): {redact(_first_line(error))}. Nothing of it is visible; "
            "push again, and what has arrived is not sent a second time"
        ) from error
    except OSError as error:
        if error.errno in _DISK:
            raise OSError(
                error.errno,
                f"no room left on the disk ({os.strerror(error.errno)}) for {repo_id}; free some or set HF_HOME",
            ) from error
        raise


def _explained(error: Any, repo_id: str) -> Exception:
    status = error.response.status_code if error.response is not None else None
    text = redact(error.server_message or _first_line(error))
    if status == 401:
        return OSError(f"the Hub does not know this token ({text}); run `hf auth login` or set HF_TOKEN")
    if status == 403:
        return OSError(f"this token may not do that to {repo_id} ({text}); it needs write access there")
    if status == 412:
        return OSError(
            f"somebody has pushed to {repo_id} since this push began; look at their commit, then push again"
        )
    if status == 409:
        return ValueError(f"{repo_id}: {text}")
    if status == 404:
        return OSError(f"{repo_id}: {text}; check the name, and that your token may see it")
    return OSError(f"the Hub answered {status} for {repo_id}: {text}")


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
