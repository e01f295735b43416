"""lm-eval in the side process: its tasks become requests as token ids, and answers that a worker gave become its results.

``collect`` writes what a model is to be asked, one request a line; ``score`` reads one answer a line, in that order. Both run lm-eval's
own evaluation, so that prompts, metrics and files are its own; no weights are held here.
"""

from __future__ import annotations

import difflib
import functools
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
for _name in ("TQDM_DISABLE", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
    os.environ.setdefault(_name, "1")
for _name in ("lm_eval", "datasets"):
    logging.getLogger(_name).setLevel(logging.ERROR)

from py_worker.side import library, rpc  # noqa: E402

EXTRA = "lm_eval"


class UnknownTaskError(Exception):
    """lm-eval has no task of that name; the message is the nearest one that it has, or nothing."""


class NoDataError(Exception):
    """The data of a task cannot be loaded."""


class UnsupportedTaskError(Exception):
    """A task asks for what a worker cannot do."""


class NoMetricError(Exception):
    """A task has no such metric, or none with a share from 0 to 1 for each document."""


@rpc
def collect(suite: dict[str, Any], model: dict[str, Any], requests: str, documents: str) -> dict[str, Any]:
    """Write the requests and the documents of a task or group; return what there is to know about it.

    ``suite`` is {task, include_path, limit, num_fewshot, metric, chat, system}, ``model`` as for ``asking_model``.
    """
    lm, results = _evaluate(suite, model, None)
    metric = _metric_of(suite["metric"], results)
    rows = _documents(results, metric)
    _write_lines(requests, lm.asked)
    _write_lines(
        documents, [{key: row[key] for key in ("id", "task", "document", "prompt", "target")} for row in rows]
    )
    return {
        "metric": metric,
        "version": results["lm_eval_version"],
        "tasks": {name: str(version) for name, version in results["versions"].items()},
    }


@rpc
def score(
    suite: dict[str, Any],
    model: dict[str, Any],
    metric: str | None,
    answers: str,
    documents: str,
    output: dict[str, str] | None,
) -> dict[str, Any]:
    """Read one answer a request and write score and answer of each document; return lm-eval's numbers.

    ``output`` ({path, name} of the model) gets the files that lm-eval's own command writes.
    """
    with Path(answers).open(encoding="utf-8") as file:
        _, results = _evaluate(suite, model, (json.loads(line) for line in file))
    rows = _documents(results, metric)
    wrong = next((row["score"] for row in rows if not 0 <= row["score"] <= 1), None)
    if wrong is not None:
        raise NoMetricError(f"its {metric} of a document is {wrong}, not a share from 0 to 1")
    _write_lines(documents, [{key: row[key] for key in ("id", "score", "answer")} for row in rows])
    numbers = _numbers(suite["task"], results)
    if output is not None:
        _save(results, suite, output["path"], output["name"])
    return {"metrics": numbers}


def _evaluate(
    suite: dict[str, Any], model: dict[str, Any], answers: Iterator[Any] | None
) -> tuple[Any, dict[str, Any]]:
    evaluate = library("lm_eval", EXTRA).simple_evaluate
    manager = _manager_of(suite["task"], suite["include_path"])
    loaded = _load(manager, suite["task"])
    library("lm_eval.models.huggingface", EXTRA)
    from py_worker.lm_eval_model import asking_model, quiet  # torch and transformers: seconds

    lm = asking_model(model, loaded["tasks"], answers)
    inner = {name for group in loaded["groups"].values() for name in group.child_names}
    roots = [group for name, group in loaded["groups"].items() if name not in inner]
    try:
        with quiet():
            results = evaluate(
                model=lm,
                tasks=roots or list(loaded["tasks"].values()),
                task_manager=manager,
                limit=suite["limit"],
                num_fewshot=suite["num_fewshot"],
                bootstrap_iters=0 if answers is None else 1000,
                system_instruction=suite["system"],
                apply_chat_template=suite["chat"],
                fewshot_as_multiturn=suite["chat"],
            )
    except ValueError as error:
        if "marked as unsafe" in str(error):
            raise UnsupportedTaskError("it runs code that a model wrote") from error
        raise
    return lm, results


def _manager_of(task: str, include_path: str | None) -> Any:
    """Return what knows the task: the user's own folder, or all that come with lm-eval, whose index takes seconds."""
    if include_path is None:
        known = _with_defaults(None)
    else:
        known = library("lm_eval.tasks", EXTRA).TaskManager(include_path=include_path, include_defaults=False)
    if task not in known.all_tasks:
        raise UnknownTaskError(*difflib.get_close_matches(task, known.all_tasks, 1))
    # A group may name tasks of lm-eval.
    return known if include_path is None or task in known.all_subtasks else _with_defaults(include_path)


@functools.lru_cache(maxsize=8)
def _with_defaults(include_path: str | None) -> Any:
    return library("lm_eval.tasks", EXTRA).TaskManager(include_path=include_path)


def _load(manager: Any, task: str) -> dict[str, Any]:
    """Load a task with its data."""
    try:
        return manager.load([task])
    except ModuleNotFoundError as error:
        raise UnsupportedTaskError(f"it needs the Python package {error.name}") from error
    except Exception as error:  # the data are read by whatever library the task names
        said = next(iter(str(error).strip().splitlines()), "")
        raise NoDataError(f"{type(error).__name__}: {said}") from error


def _metric_of(asked: str | None, results: dict[str, Any]) -> str | None:
    """Return `metric,filter` as lm-eval writes it: the one asked for, else the first that is a share of each document, if any is."""
    falls = {
        metric
        for of in results["higher_is_better"].values()
        for metric, rises in of.items()
        if rises is False
    }
    firsts = [
        sample
        for samples in results["samples"].values()
        for sample in samples
        if sample["doc_id"] == samples[0]["doc_id"]
    ]
    names = list(
        dict.fromkeys(
            f"{metric},{sample['filter']}"
            for sample in firsts
            for metric in sample["metrics"]
            if metric not in falls and _is_share(sample.get(metric))
        )
    )
    found = next((name for name in names if asked in (None, name, name.split(",")[0])), None)
    if found is not None or asked is None:
        return found
    there = f"but {', '.join(names)}" if names else "and none that is a share from 0 to 1 of each document"
    raise NoMetricError(f"it has no metric {asked}, {there}")


def _is_share(value: Any) -> bool:
    return isinstance(value, bool | int | float) and 0 <= value <= 1


def _documents(results: dict[str, Any], metric: str | None) -> list[dict[str, Any]]:
    """Return every document of every task, in order; none where nothing says how right one is."""
    if metric is None:
        return []
    name, chosen = metric.split(",", 1)
    rows = []
    for task, samples in results["samples"].items():
        for sample in samples:
            if sample["filter"] != chosen:
                continue
            if not isinstance(sample.get(name), bool | int | float):
                raise NoMetricError(f"{task} has no {name} of each document")
            arguments = sample["arguments"]
            rows.append(
                {
                    "id": sample["doc_hash"][:16],
                    "task": task,
                    "document": sample["doc_id"],
                    "prompt": arguments[0][0],
                    "target": str(sample["target"]),
                    "score": float(sample[name]),
                    "answer": _answer(arguments, sample["filtered_resps"]),
                }
            )
    return rows


def _answer(arguments: Sequence[Any], said: Sequence[Any]) -> str | None:
    """Return what the model said: its text, or the likeliest of several continuations."""
    if said and isinstance(said[0], str):
        return said[0]
    sums = [one[0] for one in said if isinstance(one, tuple | list) and len(one) == 2]
    if len(sums) < 2 or len(sums) != len(arguments):
        return None
    return str(arguments[sums.index(max(sums))][1]).strip()


def _numbers(task: str, results: dict[str, Any]) -> dict[str, float]:
    """Return lm-eval's numbers of the task or group; a tag of several tasks has none of its own."""
    every = results["results"] | results.get("groups", {})
    alone = next(iter(every.values())) if len(every) == 1 else {}
    found = every.get(task, alone)
    return {name: value for name, value in found.items() if "," in name and isinstance(value, int | float)}


def _save(results: dict[str, Any], suite: dict[str, Any], path: str, name: str) -> None:
    """Write results_DATE.json and samples_TASK_DATE.jsonl, as `lm_eval --output_path` does."""
    tracker = library("lm_eval.loggers", EXTRA).EvaluationTracker(output_path=path)
    arguments = {"pretrained": name}
    tracker.general_config_tracker.log_experiment_args(
        model_source="tms",
        model_args=arguments,
        system_instruction=suite["system"],
        chat_template=None,
        fewshot_as_multiturn=suite["chat"],
    )
    samples = results.pop("samples")
    results["config"] |= {"model": "tms", "model_args": arguments}
    tracker.save_results_aggregated(results=results, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)


def _write_lines(path: str, rows: Sequence[dict[str, Any]]) -> None:
    with Path(path).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
