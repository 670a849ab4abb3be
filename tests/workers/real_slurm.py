"""Slurm itself in one node on this machine, for tests; where its daemons are not installed they are skipped."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch")
_SBIN = "/usr/sbin"
HAS_SLURM = all(shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SBIN}") for name in DAEMONS)
SLURM = [
    pytest.mark.skipif(not HAS_SLURM, reason="Slurm is not installed: Debian's slurmctld, slurmd, munge, slurm-client"),
    pytest.mark.skipif(os.getuid() != 0, reason="slurmd starts jobs as root alone"),
    pytest.mark.slow,
]
_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,batch_sched_delay=1
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
KillWait=15
MinJobAge=10
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=60 PriorityTier=1 GraceTime=20 State=UP
PartitionName=high Nodes={host} MaxTime=60 PriorityTier=10 State=UP
"""


class RealSlurm:
    """The daemons of one node."""

    def __init__(self, folder: Path, cpus: int) -> None:
        """Start them in a new folder, and wait until the node takes jobs."""
        folder.mkdir(mode=0o755)
        self.folder, self._processes = folder, list[subprocess.Popen[bytes]]()
        for name in ("state", "spool"):
            (folder / name).mkdir()
        ports = [_free_port() for _ in range(2)]
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(
            _CONFIGURATION.format(
                host=socket.gethostname(),
                user=getpass.getuser(),
                folder=folder,
                controller=ports[0],
                daemon=ports[1],
                cpus=cpus,
            )
        )
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        try:
            names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
            files = [f"--{option}={folder}/munge.{name}" for option, name in names.items()]
            self._start("munged", "--foreground", "--force", *files)
            self._start("slurmctld", "-D", "-f", str(self.configuration))
            self._start("slurmd", "-D", "-f", str(self.configuration))
            self._wait()
        except BaseException:
            self.end()
            raise

    def _start(self, name: str, *options: str) -> None:
        command = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SBIN}")
        assert command is not None
        with open(self.folder / f"{name}.said", "wb") as log:
            self._processes.append(
                subprocess.Popen(
                    [command, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            )

    def _wait(self) -> None:
        until, said = time.monotonic() + 60, ""
        while time.monotonic() < until:
            said = self.run("sinfo", "--noheader", "--partition=low", "--format=%T")
            if said.strip() == "idle":
                return
            time.sleep(0.3)
        logs = "".join(f"{path.name}:\n{path.read_text()[-2000:]}\n" for path in self.folder.glob("*.said"))
        raise RuntimeError(f"Slurm does not come up: {said}\n{logs}")

    @property
    def environment(self) -> dict[str, str]:
        """In which its commands find it."""
        return {"SLURM_CONF": str(self.configuration)}

    def run(self, *command: str, given: str = "") -> str:
        """Run one of its commands; returns what that prints."""
        return subprocess.run(
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={**os.environ, **self.environment},
        ).stdout

    def end(self) -> None:
        """End the jobs and the daemons."""
        self.run("scancel", f"--user={getpass.getuser()}")
        until = time.monotonic() + 30
        while self.run("squeue", "--noheader").strip() and time.monotonic() < until and len(self._processes) == 3:
            time.sleep(0.3)
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
