"""What the Hugging Face hub refuses, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from py_worker.side import MissingPackageError, RefusedError, library

LOG_IN = "log in with an account that has access: `hf auth login`, or HF_TOKEN"


@contextmanager
def explained(what: str, revision: str | None) -> Iterator[None]:
    """Turn what the libraries of the hub raise into ``RefusedError``; ``what`` is asked for, such as `the data set a/b`."""
    try:
        yield
    except (RefusedError, MissingPackageError):
        raise
    except Exception as error:
        refusal = refusal_of(error, what, revision)
        if refusal is None:
            raise
        raise refusal from error


def refusal_of(error: BaseException, what: str, revision: str | None) -> RefusedError | None:
    """Return what an error of theirs means, known by the classes that it and its causes have; None where it says enough."""
    chain = list(causes(error))
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    said = " ".join(str(chain[0]).split())[:300]
    if "GatedRepoError" in names or "gated dataset" in said:
        return RefusedError(
            f"{what} is gated: its owner asks for consent on its page of the hub",
            f"accept the conditions there, then {LOG_IN}",
        )
    if "RevisionNotFoundError" in names:
        return RefusedError(f"{what} has no revision {revision!r}", "name a branch, a tag or a commit of it")
    if "OfflineModeIsEnabled" in names:
        return unreachable(f"{what} is not here, and the hub is not asked: HF_HUB_OFFLINE is set")
    if names & {"RepositoryNotFoundError", "DatasetNotFoundError"}:
        return RefusedError(
            f"the hub has no {what.removeprefix('the ')}, or it is private",
            f"check the name, or {LOG_IN}; a file or directory of this machine must exist",
        )
    status = status_of(chain)
    if status in (401, 403):
        return RefusedError(f"the hub refuses {what} ({status}): {said}", LOG_IN)
    if status is not None:
        return RefusedError(f"the hub answers {status} for {what}: {said}", "try again later")
    if names & {"ConnectError", "ConnectTimeout", "ConnectionError", "TransportError", "TimeoutException"}:
        return unreachable(f"{what} is not here, and the hub cannot be reached: {said}")
    if "EmptyDatasetError" in names:
        return RefusedError(f"{what} has no data files", "it needs .parquet, .jsonl, .json or .csv files")
    return None


def unreachable(message: str) -> RefusedError:
    """Return the refusal of which src/data/hub.ts knows that a copy of before may do."""
    fix = "go online once; what was fetched before is found without a network, or name a local file or directory"
    return RefusedError(message, fix, kind="unreachable")


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it came from."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def status_of(chain: list[BaseException]) -> int | None:
    """Return the HTTP status that the hub answered with; None where it did not answer."""
    errors = library("huggingface_hub.errors", "datasets")
    for error in chain:
        response = getattr(error, "response", None)
        if isinstance(error, errors.HfHubHTTPError) and response is not None:
            return response.status_code
    return None
