"""A directory with a model to the Hugging Face hub; asked through src/cli/push.ts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from py_worker.hub import LOG_IN, explained
from py_worker.side import RefusedError, library, rpc


@rpc
def push(folder: str, repository: str, private: bool, revision: str | None, card: str) -> dict[str, Any]:
    """Make the repository where it is not there, and one commit with all files of ``folder`` and the card; return where it is."""
    hub = library("huggingface_hub", "datasets")
    if hub.get_token() is None:
        raise RefusedError("not logged in to the hub: there is no token", LOG_IN)
    api = hub.HfApi()
    files = sorted(path for path in Path(folder).iterdir() if path.is_file() and path.name != "README.md")
    additions = [hub.CommitOperationAdd(path.name, str(path)) for path in files]
    additions.append(hub.CommitOperationAdd("README.md", card.encode()))
    with explained(f"the repository {repository}", revision):
        url = api.create_repo(repository, private=private or None, exist_ok=True)  # else as its owner has it
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repository, additions, commit_message="Upload model with tms", revision=revision
        )
        return {"url": str(url), "commit": commit.oid, "files": len(additions)}
