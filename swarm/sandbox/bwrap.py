"""What every sandbox of ours has in common: its program, the system inside, and a probe."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from p2p.protocol.errors import DomainError
from swarm.clean_env import clean_environment
from swarm.git.command import run_git

PROGRAM = "bwrap"
PROBE_LIMIT_S = 20.0
UNSAFE_SETTING = "VOIDLUX_UNSAFE_TEST_WITHOUT_SANDBOX"
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store")
# Of /etc only what programs need to run: keys and passwords are not among it.
SYSTEM_FILES = tuple(
    f"/etc/{name}"
    for name in (
        *("alternatives", "ca-certificates", "ca-certificates.conf", "fonts", "gai.conf", "group"),
        *("host.conf", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime"),
        *("mime.types", "nsswitch.conf", "os-release", "passwd", "pki/tls/certs", "protocols"),
        *("resolv.conf", "services", "ssl/certs", "ssl/openssl.cnf", "timezone"),
    )
)
# A mount costs more than the start of git: what it needs, and no more.
FILES_OF_GIT = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/passwd")
NAMESPACES = (
    *("--unshare-user-try", "--unshare-ipc", "--unshare-pid", "--unshare-uts"),
    *("--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL"),
)


class NoSandbox(DomainError):
    """Work of a stranger that cannot be tested safely here: it is not tested at all."""

    def __init__(self, why: str) -> None:
        """Take why there is no sandbox."""
        super().__init__(
            "no_sandbox",
            "commits of a seller that is not in VOIDLUX_ALLOW_NODES are tested only in a sandbox, "
            f"and {why}: install bubblewrap ({PROGRAM}), or set {UNSAFE_SETTING}=1 to test them "
            "without any protection",
        )


def system(*, network: bool, files: Iterable[str] = SYSTEM_FILES) -> list[str]:
    """Return the beginning of a command line: namespaces, and the system to read."""
    return [
        PROGRAM,
        *NAMESPACES,
        *(() if network else ("--unshare-net",)),
        *read_only((*SYSTEM_FOLDERS, *files)),
        *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"),
        *("--dir", "/var/tmp", "--tmpfs", "/home"),
    ]


def read_only(paths: Iterable[str | Path]) -> list[str]:
    """Return the words that show paths to read only; one that does not exist is left out."""
    return [word for path in paths for word in ("--ro-bind-try", str(path), str(path))]


def obstacle() -> str:
    """Return why no sandbox can be started on this machine, empty where one can.

    Tried once by each process, so that a node looks anew at its start.
    """
    return _probe(PROGRAM)


def why_not(argv: list[str], cwd: Path) -> str:
    """Start a sandbox once with nothing to do; why that is not possible, empty where it is."""
    try:
        tried = subprocess.run(
            argv,
            cwd=cwd,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_LIMIT_S,
            check=False,
        )
    except FileNotFoundError:
        return f"{PROGRAM} is not installed"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{PROGRAM} does not start ({error})"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.decode("utf-8", errors="replace").strip()[-300:]
    return f"{PROGRAM} cannot be used here ({said})"


def git_folders(worktree: Path) -> tuple[Path, Path]:
    """Return a worktree's own git folder and that of the clone it belongs to."""
    asked = ("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
    own, common = (Path(line) for line in run_git(asked, cwd=worktree).stdout.splitlines())
    return own, common


def format_of(clone: Path) -> str:
    """Return a git configuration with nothing but the format of a clone.

    That of the clone itself may hold passwords, in the address of its remote.
    """
    pattern = r"^(core\.repositoryformatversion|core\.bare|extensions\.(objectformat|refstorage))$"
    args = ["config", "--file", str(clone / "config"), "--get-regexp", pattern]
    lines = []
    for line in run_git(args, check=False).stdout.splitlines():
        name, _, value = line.partition(" ")
        section, _, key = name.partition(".")
        lines.append(f"[{section}]\n\t{key} = {value}\n")
    return "".join(lines)


@cache
def _probe(_program: str) -> str:
    return why_not([*system(network=False), "--", "/bin/true"], Path("/"))
