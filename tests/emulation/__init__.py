"""Emulated devices: userlands of Arm processors (user-mode emulation), and a virtual machine with a kernel of its own.

They are made from Debian's packages, which needs root and some commands; without these the tests are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.processes import is_alive

ROOT = Path(__file__).parents[2]
GUEST = Path(__file__).with_name("guest")
DEBIAN = ("bookworm", "deb http://deb.debian.org/debian bookworm main")
SMALL = (
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("man", "doc", "locale")),
    "--dpkgopt=force-unsafe-io",
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
)
UNPACK_ONLY = (  # no package's script is run: seconds instead of minutes under emulation, enough to run programs in
    "--variant=extract",
    "--include=?essential",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
)


def what_is_missing(commands: dict[str, str]) -> str:
    """Why nothing can be emulated here, or "": commands are given with the Debian packages that have them."""
    if os.geteuid():
        return "making a root folder for an emulated device needs root"
    missing = [package for name, package in commands.items() if shutil.which(name) is None]
    return f"missing: apt-get install --no-install-recommends {' '.join(missing)}" if missing else ""


def run(*words: object, timeout_s: float) -> str:
    """What a command prints, outputs and errors together; it must end with 0 in time."""
    output, code = output_of(*words, timeout_s=timeout_s)
    assert code == 0, f"{words} ended with {code}:\n{output[-10_000:]}"
    return output


def output_of(*words: object, timeout_s: float) -> tuple[str, int]:
    """What a command prints, outputs and errors together, and its exit code; killed after a time; no process of it outlives it."""
    process = subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    late = f"\nkilled after {timeout_s:g} s"
    try:
        output, _ = process.communicate(timeout=timeout_s)
        late = ""
    except subprocess.TimeoutExpired:
        end_session(process.pid)
        output, _ = process.communicate()
    finally:
        end_session(process.pid)
        process.wait()
    return output + late, process.returncode


def debian(root: Path, packages: str, *options: str, timeout_s: float = 600) -> None:
    """A root folder with these packages, separated by commas."""
    run(
        "mmdebstrap",
        "--mode=root",
        f"--include={packages}",
        *SMALL,
        *options,
        DEBIAN[0],
        root,
        DEBIAN[1],
        timeout_s=timeout_s,
    )


def enter(root: Path, *words: object, timeout_s: float, shared: Path | None = None, **environment: str) -> str:
    """What a command prints that runs in a root folder; ``shared`` is its /mnt/host. Nothing stays mounted."""
    (root / "mnt/host").mkdir(parents=True, exist_ok=True)
    inside = 'root=$1 shared=$2; shift 2; mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"'
    inside += '; [ -z "$shared" ] || mount --bind "$shared" "$root/mnt/host"; exec chroot "$root" /usr/bin/env -i "$@"'
    settings = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/opt/edge/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        **environment,
    }
    pairs = [f"{key}={value}" for key, value in settings.items()]
    alone = ["unshare", "--mount", "--propagation=private", "--", "bash", "-ec", inside, "_"]
    return run(*alone, root, shared or "", *pairs, *words, timeout_s=timeout_s)


def end_session(leader: int) -> None:
    """Kill what is left of the processes that ``leader`` started, wherever they put themselves below it."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if session == leader and is_alive(int(entry.name)):
            os.kill(int(entry.name), signal.SIGKILL)
