"""The Dask cluster that conf/cluster.yaml names: many machines in place of this one's processes.

Workers see the files under the same paths as this machine. They need not be started in the project, nor again when it
has changed: a task brings the folder to work in, and the project's modules are loaded again for every run.
"""

import atexit
import concurrent.futures
import contextlib
import functools
import importlib
import logging
import os
import pickle
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import cloudpickle
import distributed
from pydantic import BaseModel, ConfigDict, Field, model_validator

from steps.common.errors import UserError
from steps.common.yaml import load

CODE = Path(__file__).resolve().parents[2]
RUN = uuid.uuid4().hex
CONNECT_S = 15
ASK_EVERY_S = 10  # for workers that came or went


class Cluster(BaseModel):
    """conf/cluster.yaml: a Dask cluster, either one that runs, or one that dask-jobqueue starts in a queue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scheduler: Annotated[str, Field(pattern=r"^(tcp|tls)://.+:\d+$")] | None = None
    jobqueue: Literal["slurm", "pbs", "sge"] | None = None
    queue: str | None = None
    cores: Annotated[int, Field(ge=1, le=4096)] = 1  # of a job: as many worker processes
    memory: str = "4GB"  # of a job
    walltime: str = "24:00:00"  # of a job
    workers: Annotated[int, Field(ge=1, le=100_000)] = 1  # worker processes in all

    @model_validator(mode="after")
    def _one_of_both(self) -> "Cluster":
        if (self.scheduler is None) == (self.jobqueue is None):
            raise ValueError("either scheduler (tcp://host:8786) or jobqueue (slurm, pbs or sge) must be given")
        queued = self.model_fields_set & {"queue", "cores", "memory", "walltime", "workers"}
        if self.scheduler and queued:
            raise ValueError(f"{sorted(queued)[0]} belongs to jobqueue alone")
        return self


class ClusterExecutor:
    """`concurrent.futures.Executor.submit` over a cluster."""

    def __init__(self, client: Any):
        self._client = client
        self._width, self._asked = 1, float("-inf")

    def submit(self, function: Callable[[Any], Any], item: Any) -> "ClusterFuture":
        """Begin `function(item)` on some worker; on another one if that worker dies."""
        call = _Call(RUN, str(CODE), os.getcwd(), cloudpickle.dumps((function, item)))
        return ClusterFuture(self._client.submit(pickle.loads, cloudpickle.dumps(call), pure=False))

    def width(self) -> int:
        """Tasks that the cluster can work on at once. Raises CancelledError if the scheduler is gone."""
        if time.monotonic() - self._asked > ASK_EVERY_S:
            try:
                self._width = max(1, len(self._client.nthreads()))
            except OSError:
                raise concurrent.futures.CancelledError from None
            self._asked = time.monotonic()
        return self._width


class ClusterFuture:
    """A result to come."""

    def __init__(self, future: Any):
        self._future = future

    def result(self) -> Any:
        """Wait for it; raises what the function raised, and UserError if the worker could not call it."""
        answer = self._future.result()
        if isinstance(answer, str):
            raise UserError(answer)
        return pickle.loads(answer)

    def cancel(self) -> None:
        self._future.cancel()


@contextlib.contextmanager
def cluster_executor(path: Path) -> Iterator[ClusterExecutor]:
    """The cluster that `path` names, connected to once a process.

    Raises UserError if it cannot be reached, or fails.
    """
    client = _connect(path)
    try:
        yield ClusterExecutor(client)
    except distributed.KilledWorker as error:
        raise UserError(f"{path}: the same piece of work ended {error.allowed_failures + 1} workers, the last on "
                        f"{error.last_worker.address}; look at their logs, and give them more memory") from None
    except concurrent.futures.CancelledError:
        raise UserError(f"{path}: the connection to the scheduler broke; see that it runs, and run this again; "
                        "without that file the work is done here") from None


@functools.cache
def _connect(path: Path) -> Any:
    config = load(path, Cluster)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # for `_work`
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    try:
        client = distributed.Client(config.scheduler or _queue(config, path), timeout=CONNECT_S)
    except OSError:
        raise UserError(f"{path}: no scheduler answers at {config.scheduler} within {CONNECT_S} s; start it (dask "
                        "scheduler), mend the address, or remove the file to work on this machine alone") from None
    atexit.register(client.close)
    if not client.nthreads():
        print(f"{path}: waiting for the first worker of {client.scheduler.address}", file=sys.stderr, flush=True)
        client.wait_for_workers(1)
    return client


def _queue(config: Cluster, path: Path) -> Any:
    """A scheduler in this process, and workers that the queue starts: `cores` of them a job, one thread each."""
    import dask_jobqueue  # sets Dask's configuration up, for queues alone

    kind = {"slurm": dask_jobqueue.SLURMCluster, "pbs": dask_jobqueue.PBSCluster, "sge": dask_jobqueue.SGECluster}
    cluster = kind[config.jobqueue](
        queue=config.queue, cores=config.cores, processes=config.cores, memory=config.memory, walltime=config.walltime,
        worker_extra_args=["--no-dashboard"], scheduler_options={"dashboard": False, "dashboard_address": None})
    cluster.scale(config.workers)
    cluster.sync(_hand_in, cluster)
    refused = [job for job in cluster.workers.values() if job.job_id is None]
    if refused:
        cluster.workers.clear()  # which could not be closed
        command = refused[0].submit_command
        raise UserError(f"{path}: {command} refused {len(refused)} of the jobs, for the reason above: "
                        "mend the file, or remove it to work on this machine alone")
    return cluster


async def _hand_in(cluster: Any) -> None:
    await cluster


class _Call:
    """To unpickle it is to call `_work`: neither scheduler nor workers can import this module at that moment."""

    def __init__(self, *args: Any):
        self._args = args

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _work, self._args


def _work(run: str, code: str, folder: str, task: bytes) -> bytes | str:
    """On the worker: the pickled result, or what is wrong with the worker.

    One task at a time, whatever threads the worker has: espeak-ng and MindSpore want that.
    """
    worker = distributed.get_worker().__dict__
    with worker.setdefault("yinjie_turn", threading.Lock()):
        try:
            os.chdir(folder)
            old_run, old_code = worker.get("yinjie_run", ("", ""))
            if old_run != run:
                for name in [name for name in sys.modules if name.split(".")[0] in ("steps", "local")]:
                    del sys.modules[name]
                importlib.invalidate_caches()
                sys.path[:] = [code, *(path for path in sys.path if path not in (code, old_code))]
                worker["yinjie_run"] = run, code
            function, item = pickle.loads(task)
        except (OSError, ImportError) as error:
            return (f"a worker on {os.uname().nodename} cannot work for {folder}: {error}; workers must see the same "
                    f"files under the same paths, and run in the same environment: {code}/path.sh dask worker …")
        return pickle.dumps(function(item))
