"""Runs of a sweep as tasks on a Ray cluster; what they write is streamed back, so no shared folder is needed.

A task trains in a folder of its node and sends what is new in it to a mailbox beside the driver. The driver alone
writes the run folders: a node that is lost costs the task that was going on there, and the run begins again after its
last finished task. Ray is optional (requirements-cluster.txt) and imported by `Cluster` only; every node needs this
version of Proteus Lab, and the images under the same path where they are not built in.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import core
from core.errors import UserError
from core.files import replacing
from core.runs.files import read_json, write_json
from core.runs.liveness import LOCK, Claim, identity, true_status

if TYPE_CHECKING:
    from core.runs.schema import Status

RETRIES = 3
"""So many times a run is begun again on another node before it counts as failed."""
_SEND_EVERY_S = 0.5
_GRACE_S = 10.0
_OWN = {"config.toml", "log.txt", "status.json", "cancel", LOCK}
"""Files of a run folder that are the driver's."""

Files = dict[str, bytes]


class Mailbox:
    """An actor beside the driver: it holds what runs have sent and nobody has fetched, and which runs shall stop."""

    def __init__(self) -> None:
        self._letters: list[tuple[str, Files, list[str]]] = []
        self._unwanted: set[str] = set()

    def put(self, run: str, new: Files, names: list[str]) -> bool:
        """Take in the files of `run` that changed, and the names of all it has; returns whether it shall stop."""
        self._letters.append((run, new, names))
        return run in self._unwanted

    def take(self) -> list[tuple[str, Files, list[str]]]:
        """Everything that came since the last call, oldest first."""
        letters, self._letters = self._letters, []
        return letters

    def cancel(self, run: str, wanted: bool) -> None:
        """Whether `run` shall stop at its next step."""
        (self._unwanted.add if wanted else self._unwanted.discard)(run)


def train_there(
    name: str, config: dict[str, Any], title: str | None, files: Files, mailbox: Any, version: str
) -> str | None:
    """On a node: begin the run `name`, or go on with the one in `files`; returns what went wrong, in one line."""
    if version != core.__version__:
        return f"this node has Proteus Lab {core.__version__}, the driver {version}: install the same on both."
    from core.config import RunConfig, validate
    from core.failures import said
    from core.training.run import resume_run, start_run

    with tempfile.TemporaryDirectory(prefix="proteus-") as runs:
        folder = Path(runs) / name
        write_files(folder, files)
        sender = _Sender(folder, mailbox)
        try:
            if "manifest.json" in files:
                resume_run(folder, sender)
            else:
                start_run(validate(RunConfig, config), Path(runs), sender, title, name)
        except Exception as error:  # noqa: BLE001  goes to the driver as one line
            return said(error)
        finally:
            sender.send()
    return None


class _Sender:
    """A listener of a run that sends what is new in its folder, and brings back the wish to stop."""

    def __init__(self, folder: Path, mailbox: Any) -> None:
        self.folder, self.mailbox = folder, mailbox
        self._sent = _stamps(folder)
        self._when = 0.0

    def __call__(self, status: Status) -> None:
        if time.monotonic() - self._when > _SEND_EVERY_S:
            self.send()

    def send(self) -> None:
        import ray

        stamps = _stamps(self.folder)
        new = {
            name: (self.folder / name).read_bytes() for name, stamp in stamps.items() if self._sent.get(name) != stamp
        }
        self._sent = stamps
        if ray.get(self.mailbox.put.remote(self.folder.name, new, list(stamps))):
            (self.folder / "cancel").touch()
        self._when = time.monotonic()


def _stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Path inside `folder` → when it changed and its size; nothing half-written."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder)
        if path.is_file() and path.name not in (LOCK, "cancel") and not any(p.startswith(".") for p in name.parts):
            facts = path.stat()
            found[name.as_posix()] = (facts.st_mtime_ns, facts.st_size)
    return found


def write_files(folder: Path, files: Files) -> None:
    """Write `files`; what closes a task folder comes after the rest of it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(files, key=lambda name: (name.endswith("done.json"), name == "metrics.json", name)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, durable=False) as file:
            file.write(files[name])


class ClusterRun:
    """A run that is a task of the cluster; its folder here follows it."""

    def __init__(self, cluster: Cluster, folder: Path, title: str | None) -> None:
        self.folder, self._cluster, self._title = folder, cluster, title
        self._claim = Claim(folder)
        self._lost = 0
        self._asked = False
        self._tell("queued", "waiting for a node")
        self._submit()

    def _submit(self) -> None:
        folder = self.folder
        config = tomllib.loads((folder / "config.toml").read_text()) if (folder / "config.toml").exists() else {}
        held = {name: (folder / name).read_bytes() for name in _stamps(folder) if name not in _OWN}
        self._task = self._cluster.submit(folder.name, config, self._title, held if "manifest.json" in held else {})

    def _tell(self, state: str, message: str) -> None:
        path = self.folder / "status.json"
        before = read_json(path) if path.exists() else {}
        write_json(path, before | {"state": state, "message": message, "eta_s": None, **identity()})

    def receive(self, new: Files, names: list[str]) -> None:
        """Bring the folder up to date with the node's."""
        said = new.pop("status.json", None)
        write_files(self.folder, {name: data for name, data in new.items() if name not in _OWN})
        for old in (self.folder / "shared").glob("*.safetensors"):
            if f"shared/{old.name}" not in names:
                old.unlink()
        if said is not None:
            write_json(self.folder / "status.json", json.loads(said) | identity())

    def ended(self) -> bool:
        """Whether the run is over; a run whose node was lost goes on elsewhere."""
        import ray

        if not self._asked and (self.folder / "cancel").exists():
            self.cancel()
        over, _ = ray.wait([self._task], timeout=0)
        self._cluster.collect()
        if not over:
            return False
        try:
            wrong = ray.get(self._task)
        except (ray.exceptions.TaskCancelledError, KeyboardInterrupt):
            self._tell("cancelled", "cancelled; finished tasks are kept")
        except ray.exceptions.RayTaskError as error:
            self._tell("failed", " ".join(str(error.cause).split()))
        except ray.exceptions.RayError:
            return self._again()
        else:
            self._cluster.collect()
            if wrong is not None:
                self._tell("failed", wrong)
        self._let_go()
        return True

    def _again(self) -> bool:
        """Start once more after the node was lost; returns whether that was one time too many."""
        self._lost += 1
        if self._asked:
            self._tell("cancelled", "cancelled; finished tasks are kept")
        elif self._lost > RETRIES:
            self._tell("failed", f"lost with its node {self._lost} times: resume it when the cluster is well")
        else:
            self._tell("queued", "its node was lost: going on elsewhere")
            self._submit()
            return False
        self._let_go()
        return True

    def _let_go(self) -> None:
        del self._claim
        self._cluster.forget(self.folder.name)

    def cancel(self) -> None:
        """Ask it to stop at its next step; returns at once."""
        self._asked = True
        self._cluster.ask_to_stop(self.folder.name)

    def stop(self) -> None:
        """Make it stop; returns when it has."""
        import ray

        end = time.monotonic() + _GRACE_S
        while hasattr(self, "_claim") and not self.ended():
            if time.monotonic() > end:
                ray.cancel(self._task, force=True)
                end = time.monotonic() + _GRACE_S
            time.sleep(0.1)
        if true_status(self.folder).get("state") in ("queued", "running"):
            self._tell("cancelled", "cancelled; finished tasks are kept")


class Cluster:
    """As many runs at once as the nodes of a Ray cluster have room for."""

    def __init__(self, address: str, cpus: float = 1, gpus: float = 0) -> None:
        """`cpus` and `gpus` are what one run takes; half a GPU is 0.5.

        Raises UserError when Ray is not installed or does not answer.
        """
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError:
            raise UserError("Ray is not installed: pip install -r requirements-cluster.txt.") from None
        _reach(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"No Ray cluster answers at {address}: {' '.join(str(error).split())[:200]}") from None
        self._ray, self.cpus, self.gpus = ray, cpus, gpus
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # Any node may be lost except the driver's own, so what runs send is kept there.
        self._mailbox: Any = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        # A process of its own for each run: its memory is measured, and freed.
        self._train = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, max_calls=1)(train_there)
        self._runs: dict[str, ClusterRun] = {}

    def room(self, going: int) -> bool:
        """Whether one more run may start beside `going` others."""
        return going < max(1, sum(self._places(node["Resources"]) for node in self._ray.nodes() if node["Alive"]))

    def _places(self, resources: dict[str, float]) -> int:
        takes = (("CPU", self.cpus), ("GPU", self.gpus))
        return min(int(resources.get(name, 0) / share + 1e-9) for name, share in takes if share)

    def start(self, folder: Path, title: str | None) -> ClusterRun:
        """Begin the run that is prepared in `folder`, or go on with it."""
        self._runs[folder.name] = run = ClusterRun(self, folder, title)
        return run

    def submit(self, name: str, config: dict[str, Any], title: str | None, files: Files) -> Any:
        """The task that trains the run `name`."""
        self._mailbox.cancel.remote(name, False)
        return self._train.remote(name, config, title, files, self._mailbox, core.__version__)

    def collect(self) -> None:
        """Write into the run folders what the runs have sent."""
        for name, new, names in self._ray.get(self._mailbox.take.remote()):
            if name in self._runs:
                self._runs[name].receive(new, names)

    def ask_to_stop(self, name: str) -> None:
        """Ask a run to stop at its next step."""
        self._mailbox.cancel.remote(name, True)

    def forget(self, name: str) -> None:
        """Nothing more comes from this run."""
        self._runs.pop(name, None)

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


def _reach(address: str) -> None:
    """Raise UserError where nothing listens at a HOST:PORT; Ray itself would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise UserError(f"No Ray cluster answers at {address}: {error.strerror or error}.") from None


def follow(folder: Path, title: str | None, address: str, cpus: float, gpus: float, listener: Any) -> Path:
    """Train the one run that is prepared in `folder` on a cluster; the listener is told its status."""
    from core.runs.store import Run

    cluster = Cluster(address, cpus, gpus)
    try:
        run = cluster.start(folder, title)
        try:
            while not run.ended():
                listener(Run(folder).status)
                time.sleep(0.2)
        except BaseException:
            run.cancel()
            run.stop()
            raise
    finally:
        cluster.close()
    return folder
