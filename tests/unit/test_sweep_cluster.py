"""A sweep on a real Ray cluster of two nodes on this machine, one of which is killed in the middle."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config import RunConfig, validate
from core.errors import UserError
from core.runs import jobs
from core.runs.liveness import worker
from core.runs.store import Run
from core.sweep.cluster import Cluster
from core.sweep.execute import Progress, Sweep
from core.sweep.plan import make_plan
from core.training.run import start_run
from tests.waiting import wait_until

# No word to Ray's makers, and the loopback address alone: Ray would take another of this machine's.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_worker_niceness": "0"}
pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is optional: pip install -r requirements-cluster.txt"
)

SWEEP: dict[str, Any] = {
    "name": "spread",
    "base": {
        "stream": {"name": "split-digits", "train_per_class": 6, "test_per_class": 3},
        "backbone": {"name": "tiny", "image_size": 32},
        "record": {"projection": False},
        "training": {"epochs": 20, "device": "cpu"},
    },
    # The first runs train for a while, so that a node can be killed under one of them.
    "axes": {
        "method": {"name": ["sequential", "o-lora", "lda", "ncm"]},
        "training": {"precision": ["float32", "bfloat16"]},
    },
}


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes with room for two runs and for one; the second may be killed."""
    import ray
    from ray._private.node import Node
    from ray.cluster_utils import Cluster as Nodes

    small = {"object_store_memory": 80_000_000, "node_ip_address": "127.0.0.1"}
    monkeypatch.setattr(Node, "start_ray_processes", _ports_first(Node.start_ray_processes))
    started = Nodes()
    try:
        started.add_node(**small, num_cpus=2, include_dashboard=False)
        yield started, started.add_node(**small, num_cpus=1)
    finally:
        ray.shutdown()
        started.shutdown()


_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


def _ports_first(start: Callable[[Any], None]) -> Callable[[Any], None]:
    """Ray's own start of a node, but the ports of its agents are written before.

    The agents write them when they are up, and a node gives them 15 seconds: too few on a machine with other work.
    """

    def start_with_ports(node: Any) -> None:
        with ExitStack() as held:
            for name in _PORTS:
                free = held.enter_context(socket.socket())
                free.bind(("127.0.0.1", 0))
                file = Path(node.get_session_dir_path()) / f"{name}_{node._node_id}"
                file.write_text(str(free.getsockname()[1]))
        start(node)

    return start_with_ports


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_eight_runs_survive_the_loss_of_a_node(nodes: Any, one_thread: None, tmp_path: Path) -> None:
    started, doomed = nodes
    plan = make_plan(SWEEP)
    assert len(plan.runs) == 8
    seen: list[str] = []
    killed = False

    def watch(progress: Progress) -> None:
        nonlocal killed
        seen.extend(row.message for row in progress.rows if "lost" in row.message)
        if not killed and sum(row.state == "running" for row in progress.rows) == 3:
            killed = True
            started.remove_node(doomed, allow_graceful=False)

    progress = Sweep(plan, tmp_path / "cluster", lambda: Cluster(started.address), watch).run()
    assert killed
    assert seen, "no run was on the node that was killed"
    assert [row.state for row in progress.rows] == ["done"] * 8

    for run in plan.runs:
        config = validate(RunConfig, run.config)
        serial = Run(start_run(config, tmp_path / "serial", lambda status: None, name=run.name))
        there = Run(tmp_path / "cluster" / run.name)
        assert there.status.state == "done"
        assert there.predictions().equals(serial.predictions())
        assert there.metrics["matrices"] == serial.metrics["matrices"]
        for name in ("images.parquet", "sprites/000.webp"):
            assert (there.folder / name).read_bytes() == (serial.folder / name).read_bytes()
        for task in range(serial.finished_tasks()):
            assert (there.folder / "tasks" / f"{task:03d}").is_dir()
            ours, theirs = serial.task(task).adapter, there.task(task).adapter
            assert ours.keys() == theirs.keys()
            assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_of_the_app_is_cancelled_and_resumed_on_a_cluster(
    nodes: Any, one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the pages Train and Runs call; only PROTEUS_RAY is different."""
    monkeypatch.setenv(jobs.CLUSTER, nodes[0].address)
    long = {"method": {"name": "sequential"}, "training": {"epochs": 150, "device": "cpu"}}
    runs, config = tmp_path / "runs", SWEEP["base"] | long
    name = jobs.start(config, runs, title="Far away")
    run = Run(runs / name)
    wait_until(lambda: run.finished_tasks() >= 1)
    assert jobs.running(runs) == name
    assert "--ray" in _words(worker(run.folder))

    jobs.cancel(name, runs, grace=60)
    assert (run.status.state, jobs.running(runs)) == ("cancelled", None)
    before = run.finished_tasks()
    assert 1 <= before < 5, "it was cancelled too late to say anything"

    assert jobs.resume(name, runs) == name
    wait_until(lambda: not run.active)
    finished = Run(runs / name)
    assert finished.status.state == "done", (run.folder / "log.txt").read_text()
    assert finished.manifest.title == "Far away"
    serial = Run(start_run(validate(RunConfig, config), tmp_path / "serial", lambda status: None))
    assert finished.predictions().equals(serial.predictions())


def _words(pid: int | None) -> list[str]:
    """The command line of a process."""
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def test_no_cluster_is_said_in_one_line() -> None:
    with pytest.raises(UserError, match="No Ray cluster") as fault:
        Cluster("127.0.0.1:1")
    assert "\n" not in str(fault.value)
