"""A Slurm of one node on this machine: munged, slurmctld and slurmd with all files in one folder.

Needs root and Debian's packages munge, slurmctld, slurmd and slurm-client; ``why_no_slurm`` says what is missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PATH = f"{os.environ['PATH']}:/usr/sbin"

SECONDS = 120
"""For what takes some on a quiet machine."""

CONFIGURATION = """\
ClusterName=xlmr
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
MailProg=/bin/true
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
KillWait=5
GresTypes=gpu
# More processors and memory than the machine may have: jobs here wait more than they compute.
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_no_slurm() -> str:
    """Why Slurm cannot be started here; '' where it can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    return f"no program {', '.join(missing)}" if missing else ""


@dataclass(frozen=True)
class SlurmNode:
    """``environment`` makes sbatch and the other commands of Slurm use this node."""

    folder: Path
    environment: dict[str, str]

    def command(self, *words: str) -> str:
        """What a command prints that runs in the folder of the node. Errors: CalledProcessError."""
        done = subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        return done.stdout

    def states(self) -> dict[str, str]:
        """Of the jobs and tasks of arrays that are known, as PENDING, RUNNING, COMPLETED, FAILED or CANCELLED."""
        lines = self.command("squeue", "--array", "--noheader", "--states=all", "--format=%i %T").splitlines()
        return dict(map(str.split, lines))

    def wait_for_end(self) -> dict[str, str]:
        """The states of all jobs when none is left that waits or runs."""
        end = time.monotonic() + 4 * SECONDS
        while {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"} & set((states := self.states()).values()):
            assert time.monotonic() < end, self.command("scontrol", "show", "jobs")
            time.sleep(0.2)
        return states


def describe_job_of_dask(folder: Path) -> dict[str, str]:
    """The environment in which dask-jobqueue has one worker a job of a node, as a person describes it in a file."""
    job = {"cores": 1, "processes": 1, "memory": "1GB", "walltime": "0:10:00", "interface": "lo"}
    folder.mkdir()
    (folder / "jobqueue.yaml").write_text(yaml.safe_dump({"jobqueue": {"slurm": job}}))
    return {"DASK_CONFIG": str(folder)}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def slurm_node(folder: Path) -> Iterator[SlurmNode]:
    """A node that is ready for jobs; its daemons and jobs end with it."""
    host = socket.gethostname().partition(".")[0]
    controller_port, node_port = _free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/zero\nName=gpu File=/dev/full\n")
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(host=host, folder=folder, controller_port=controller_port, node_port=node_port)
    )
    node = SlurmNode(folder, {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")})
    munged = ["munged", "--foreground", "--force", f"--key-file={folder}/munge.key", f"--pid-file={folder}/munge.pid"]
    munged += [f"--socket={folder}/munge.socket", f"--seed-file={folder}/munge.seed", "--num-threads=4"]
    with contextlib.ExitStack() as stack:
        stack.enter_context(_daemon(munged, node, folder / "munge.socket"))
        stack.enter_context(_daemon(["slurmctld", "-D"], node, folder / "slurmctld.pid"))
        stack.enter_context(_daemon(["slurmd", "-D"], node, folder / "slurmd.pid"))
        stack.callback(_end_jobs, node)
        _wait_until_idle(node, host)
        yield node


@contextlib.contextmanager
def _daemon(words: Sequence[str], node: SlurmNode, made: Path) -> Iterator[None]:
    """A daemon that is ready when it has made a file. What it says is in the folder of the node."""
    log = node.folder / f"{words[0]}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(words, stdout=stream, stderr=stream, env=node.environment, start_new_session=True)
    try:
        end = time.monotonic() + SECONDS
        while not made.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_idle(node: SlurmNode, host: str) -> None:
    end = time.monotonic() + SECONDS
    said = ""
    while said.strip() != "idle":
        assert time.monotonic() < end, (said, (node.folder / "slurmd.log").read_text())
        time.sleep(0.1)
        asked = ["sinfo", "--noheader", "--nodes", host, "--format=%t"]
        said = subprocess.run(asked, env=node.environment, capture_output=True, text=True, check=False).stdout


def _end_jobs(node: SlurmNode) -> None:
    subprocess.run(["scancel", "--user=root"], env=node.environment, capture_output=True, check=False)
    node.wait_for_end()
