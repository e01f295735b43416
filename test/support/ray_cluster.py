"""A Ray cluster of two nodes on this machine; a line on stdin takes the second node away, its end all of it."""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
second = cluster.add_node(num_cpus=2)
cluster.wait_for_nodes()
sys.stdout.write(f"{cluster.address}\n")
sys.stdout.flush()
for _ in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    sys.stdout.write("removed\n")
    sys.stdout.flush()
cluster.shutdown()
