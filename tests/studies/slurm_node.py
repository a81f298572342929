"""A real Slurm of one node on this machine: munged, slurmctld and slurmd, in a folder of their own.

    python tests/studies/slurm_node.py FOLDER     # prints what to export, and runs until Ctrl-C

The packages are those of the distribution (Debian: slurm-wlm and munge), and it must be root. There
are two partitions: a job in `urgent` preempts one in `usual`, which Slurm then requeues.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")

_DELAY = 10  # seconds before a requeued job begins: the lifetime of its credential

_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={delay}
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000
RequeueExit=
KillWait=5
ReturnToService=2
MpiDefault=none
InactiveLimit=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=usual Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=5
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


def why_not():
    """Why a Slurm cannot be started here; None where it can."""
    absent = [name for name in DAEMONS if _found(name) is None]
    if absent:
        return f"{', '.join(absent)} absent: apt-get install slurm-wlm munge"
    return None if os.geteuid() == 0 else "a Slurm of one's own needs root"


@contextlib.contextmanager
def running(folder, cpus=2):
    """A Slurm until the block ends; gives the environment in which its commands find it."""
    folder = Path(folder)
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    host = socket.gethostname().split(".")[0]
    text = _CONFIGURATION.format(
        host=host, folder=folder, ports=_free_ports(2), cpus=cpus, delay=_DELAY
    )
    text = "\n".join(line for line in text.splitlines() if not line.endswith("="))
    (folder / "slurm.conf").write_text(text)
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o400)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    with contextlib.ExitStack() as daemons:
        for command in (
            [_found("munged"), "--foreground", "--force", f"--socket={folder}/munge.socket"]
            + [f"--key-file={folder}/munge.key", f"--pid-file={folder}/munged.pid"]
            + [f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"],
            [_found("slurmctld"), "-D", "-c"],
            [_found("slurmd"), "-D", "-c", "-N", host],
        ):
            daemons.enter_context(_daemon(command, environment, folder))
            if "munged" in command[0]:
                _wait((folder / "munge.socket").exists, folder)
        _wait(lambda: _is_idle(environment), folder)
        yield environment


@contextlib.contextmanager
def _daemon(command, environment, folder):
    log = open(folder / f"{Path(command[0]).name}.out", "wb")  # noqa: SIM115
    process = subprocess.Popen(
        command, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()


def _is_idle(environment):
    command = ["sinfo", "--noheader", "--format=%T", "--partition=usual"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    return ran.stdout.strip() in ("idle", "mixed", "allocated")


def _wait(true, folder, seconds=60):
    limit = time.monotonic() + seconds
    while not true():
        if time.monotonic() > limit:
            said = "\n".join(path.read_text()[-2000:] for path in sorted(folder.glob("*.log")))
            raise RuntimeError(f"Slurm did not start:\n{said}")
        time.sleep(0.2)


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _found(name):
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


if __name__ == "__main__":
    if reason := why_not():
        sys.exit(reason)
    with running(sys.argv[1]) as found, contextlib.suppress(KeyboardInterrupt):
        print(f"export SLURM_CONF={found['SLURM_CONF']}", flush=True)
        signal.pause()
