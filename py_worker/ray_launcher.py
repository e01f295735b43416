"""``python -m py_worker.ray_launcher``: workers placed by Ray, which only places and watches; what they are asked never goes through it.

One bundle and one actor a worker. Nothing is restarted here: whoever asked goes on with the rest.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any, NoReturn

from py_worker import launch
from py_worker.launch import Host, read_spec, say, tie_to_parent, watch

START_SECONDS = 120
STOP_SECONDS = 10


class RayHost(Host):
    """A host that asks Ray where it is and which GPUs it has."""

    def start_here(self, command: list[str], env: dict[str, str]) -> dict[str, Any]:
        """Start the worker on the address by which Ray's nodes know each other."""
        ray = importlib.import_module("ray")
        return self.start(command, env, ray.util.get_node_ip_address(), ray.get_gpu_ids())


def main() -> None:
    """Place what the spec says, tell of their ends, and end them with stdin."""
    tie_to_parent()
    spec = read_spec()
    ray = engine()
    try:
        ray.init(address=spec["address"], namespace=spec["name"], log_to_driver=False, logging_level="ERROR")
    except Exception as error:  # noqa: BLE001 - the border: Ray raises anything
        fix = "start a cluster (`ray start --head`), or name its address: placement.address"
        fail("NO_CLUSTER", f"no Ray cluster at {spec['address']}: {first_line(error)}", fix)
    say("connected", resources=ray.cluster_resources())
    ray.cloudpickle.register_pickle_by_value(launch)  # the nodes' own Python need not have this package
    hosts = placed(ray, spec)
    waits = started(ray, spec, hosts)
    say("ready")

    def look() -> None:
        done, _ = ray.wait(list(waits), timeout=0, num_returns=max(1, len(waits))) if waits else ([], [])
        for ref in done:
            name = waits.pop(ref)
            try:
                say("exit", name=name, **ray.get(ref))
            except Exception as error:  # noqa: BLE001 - actor, node or network: whatever took it
                say("lost", name=name, reason=f"{type(error).__name__}: {first_line(error)}")

    watch(look)
    ray.wait([host.stop.remote() for host in hosts], num_returns=len(hosts), timeout=STOP_SECONDS)
    ray.shutdown()  # takes the placement group and its actors along
    say("bye")


def engine() -> Any:
    """Return Ray, of which only what places workers knows."""
    try:
        return importlib.import_module("ray")
    except ImportError as missing:
        fail("NO_ENGINE", f"{missing} in {sys.executable}", "npx tms setup --with ray")


def placed(ray: Any, spec: dict[str, Any]) -> list[Any]:
    """Return an actor for each worker, in bundles that Ray found room for."""
    group_of = importlib.import_module("ray.util.placement_group").placement_group
    in_bundle = importlib.import_module("ray.util.scheduling_strategies").PlacementGroupSchedulingStrategy
    wanted = [{"CPU": worker["cpus"], "GPU": worker["gpus"]} for worker in spec["workers"]]
    bundles = [{name: count for name, count in bundle.items() if count} for bundle in wanted]
    group = group_of(bundles, strategy=spec["strategy"])
    if not group.wait(timeout_seconds=spec["timeoutSeconds"]):
        found = f"no room for {len(bundles)} workers of {bundles[0]}; the cluster has {ray.available_resources()} free"
        fail("NO_CAPACITY", found, "ask for less: placement.samplers, or wait for the others on the cluster")
    say("placed")
    actor = ray.remote(RayHost)
    return [
        actor.options(
            num_cpus=bundle["CPU"],
            num_gpus=bundle["GPU"],
            max_restarts=0,
            max_concurrency=2,  # so that it can be stopped while it waits
            scheduling_strategy=in_bundle(group, placement_group_bundle_index=i),
        ).remote()
        for i, bundle in enumerate(wanted)
    ]


def started(ray: Any, spec: dict[str, Any], hosts: list[Any]) -> dict[Any, str]:
    """Start all workers at once and tell of each; return what to wait for, with the names."""
    starts = [host.start_here.remote(spec["command"], spec["env"]) for host in hosts]
    waits: dict[Any, str] = {}
    for worker, host, start in zip(spec["workers"], hosts, starts, strict=True):
        try:
            say("worker", name=worker["name"], **ray.get(start, timeout=START_SECONDS))
        except Exception as error:  # noqa: BLE001 - see above
            say("lost", name=worker["name"], reason=f"{type(error).__name__}: {first_line(error)}")
        else:
            waits[host.wait.remote()] = worker["name"]
    return waits


def fail(code: str, message: str, fix: str) -> NoReturn:
    """Say what makes it impossible, and end."""
    say("error", code=code, message=message, fix=fix)
    sys.exit(3)


def first_line(error: BaseException) -> str:
    """Return the beginning of an error's text; Ray adds pages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


if __name__ == "__main__":
    main()
