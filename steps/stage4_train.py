"""Stage 4: train an experiment's network with CTC, or continue an interrupted training.

If train.workers is more than 1, it starts that many processes by msrun. A process that msrun has started is a worker.
"""

import argparse
import contextlib
import functools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from steps.common.checksums import HISTORY, SUMS, TRAINED, write_sums
from steps.common.errors import UserError, run
from steps.common.process import die_with_parent, output_lock, threads
from steps.config.exp_dir import is_finished
from steps.config.load import Resolved, load_experiment


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.stage4_train", description=__doc__)
    parser.add_argument("experiment", help="conf/<experiment>.yaml; results go to exp/<experiment>/")
    args = parser.parse_args()
    config = load_experiment(args.experiment)
    exp_dir = Path("exp") / args.experiment
    if is_worker():
        follow_msrun()
    with main_lock(exp_dir):
        if is_finished(config, exp_dir):
            print(f"{exp_dir}/final.ckpt is there, made from this very config and data", file=sys.stderr)
            if not (exp_dir / SUMS).exists():  # as when the training was killed just before
                write_sums(exp_dir, TRAINED + HISTORY)
        elif config.experiment.train.workers > 1 and not is_worker():
            launch(config, exp_dir)
        else:
            from steps.model.training import train  # MindSpore takes seconds to load: not for a mistake

            train(config, exp_dir)


def main_lock(exp_dir: Path) -> contextlib.AbstractContextManager:
    """The lock on a training's files: taken once, where it was started, on the first of several machines."""
    if is_worker() or os.environ.get("NODE_RANK", "0") != "0":
        return contextlib.nullcontext()
    return output_lock(exp_dir, "train")


PARENT = "YINJIE_MSRUN"  # process id of the msrun that a worker must not outlive
PORT = 8118  # msrun's own


def is_worker() -> bool:
    """Whether msrun has started this process: it sets the variable in its workers and their scheduler."""
    return "MS_ROLE" in os.environ


def follow_msrun() -> None:
    """In a worker: end as soon as msrun ends, so that no worker trains on after stage 4 was interrupted or killed."""
    die_with_parent()
    if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):
        sys.exit("msrun is gone")


def launch(config: Resolved, exp_dir: Path) -> None:
    """Train with `train.workers` processes.

    The output of worker 0 goes to stderr. All logs are in <exp_dir>/log/workers/. With several hosts, this must be
    called on each of them, with NODE_RANK, MASTER_ADDR and, if not the default, MASTER_PORT in the environment. Raises
    UserError if a worker fails. The other workers have then ended, too.
    """
    train = config.experiment.train
    local = train.workers // train.hosts
    node, address, port = _address(train.hosts)
    log_dir = exp_dir / "log" / "workers"
    log_dir.mkdir(parents=True, exist_ok=True)
    first = log_dir / f"worker_{node * local}.log"
    first.unlink(missing_ok=True)
    words = [sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={train.workers}",
             f"--local_worker_num={local}", f"--master_addr={address}", f"--master_port={port}", f"--node_rank={node}",
             f"--log_dir={log_dir}", "--join=True", f"--tail_worker_log={train.workers}",  # of none: see _wait
             "python", "-m", "steps.stage4_train", config.name]
    with open(log_dir / f"msrun_{node}.log", "wb") as log:
        msrun = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT,
                                 preexec_fn=functools.partial(_enter, _variables(config, local)))
    status = _wait(msrun, first)
    if status:
        raise UserError(f"a worker of {config.name} has failed; see {log_dir}/worker_*.log and "
                        f"{log_dir}/msrun_{node}.log; run again to go on from the last checkpoint")


def _address(hosts: int) -> tuple[int, str, int]:
    """This machine's number, and address and port of the scheduler, which runs on machine 0."""
    if hosts == 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return 0, "127.0.0.1", free.getsockname()[1]
    missing = [name for name in ("NODE_RANK", "MASTER_ADDR") if name not in os.environ]
    if missing:
        raise UserError(f"train.hosts: {hosts}: {missing[0]} is not set; start training on each machine with "
                        f"NODE_RANK=0 (1, … {hosts - 1}) MASTER_ADDR=<address of machine 0>")
    node, port = os.environ["NODE_RANK"], os.environ.get("MASTER_PORT", str(PORT))
    if not node.isdigit() or int(node) >= hosts or not port.isdigit():
        raise UserError(f"NODE_RANK must be 0 to {hosts - 1} and MASTER_PORT a number, not {node!r} and {port!r}")
    return int(node), os.environ["MASTER_ADDR"], int(port)


def _variables(config: Resolved, local: int) -> dict[str, str]:
    variables = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}  # msrun's `python`
    variables["GLOG_v"] = os.environ.get("GLOG_v", "3")  # noqa: SIM112  fewer messages of MindSpore in the log
    if config.experiment.device == "CPU":
        variables["OMP_NUM_THREADS"] = str(max(1, threads() // local))
    return variables


def _enter(variables: dict[str, str]) -> None:
    """In the process that becomes msrun."""
    die_with_parent()
    os.environ.update(variables)
    os.environ[PARENT] = str(os.getpid())


def _wait(msrun: subprocess.Popen, log: Path) -> int:
    """Wait for msrun and copy a worker's log to stderr. Returns the exit status. (msrun's own `tail` would not end.)"""
    seen = 0
    try:
        while True:
            status = msrun.poll()
            if log.exists():
                with open(log, "rb") as file:
                    file.seek(seen)
                    seen += sys.stderr.buffer.write(file.read())
                    sys.stderr.flush()
            if status is not None:
                return status
            time.sleep(0.2)
    finally:
        msrun.kill()
        msrun.wait()


if __name__ == "__main__":
    run(main)
