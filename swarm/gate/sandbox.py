"""Where the work of strangers is tested: in `bwrap`, without a home, secrets or the network."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from p2p.local import local_node
from p2p.protocol.errors import DomainError
from swarm import hooks
from swarm.clean_env import clean_environment
from swarm.git.command import run_git
from swarm.git.repository import Repository
from swarm.models import Task

PROGRAM = "bwrap"
PROBE_LIMIT_S = 20.0
SANDBOX_HOME = "/home/tester"
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
CLONE_PARTS = ("HEAD", "objects", "refs", "packed-refs", "shallow")
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


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What one run may see: its worktree and `writable`, both to write, and the system."""

    worktree: Path
    writable: Path
    network: bool

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs `argv` inside."""
        home = str(local_node().home.resolve())
        return [
            PROGRAM,
            *NAMESPACES,
            *(() if self.network else ("--unshare-net",)),
            *_read_only((*SYSTEM_FOLDERS, *SYSTEM_FILES)),
            *("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"),
            *("--dir", "/var/tmp", "--tmpfs", "/home", "--dir", SANDBOX_HOME),
            *("--tmpfs", home),  # also where a system folder holds the home
            *_read_only(str(path) for path in settings.ENVIRONMENT.test_sandbox_paths),
            *self._clone(),
            *("--bind", str(self.worktree), str(self.worktree)),
            *("--ro-bind", str(self.worktree / ".git"), str(self.worktree / ".git")),
            *("--bind", str(self.writable), str(self.writable)),
            *("--setenv", "HOME", SANDBOX_HOME, "--setenv", "TMPDIR", "/tmp"),
            *("--chdir", str(self.worktree), "--", *argv),
        ]

    def require(self) -> None:
        """Start it once with nothing to do; NoSandbox where that is not possible."""
        try:
            tried = subprocess.run(
                self.wrap(["/bin/true"]),
                cwd=self.worktree,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_LIMIT_S,
                check=False,
            )
        except FileNotFoundError:
            raise NoSandbox(f"{PROGRAM} is not installed") from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoSandbox(f"{PROGRAM} does not start ({error})") from error
        if tried.returncode != 0:
            said = tried.stderr.decode("utf-8", errors="replace").strip()[-300:]
            raise NoSandbox(f"{PROGRAM} cannot be used here ({said})")

    def _clone(self) -> list[str]:
        """Mount what git needs to read of the worktree's repository: not its configuration."""
        asked = ("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
        own, common = (Path(line) for line in run_git(asked, cwd=self.worktree).stdout.splitlines())
        # The address of the remote may hold a password, so git gets a configuration of ours.
        config = self.writable / "git-config"
        config.write_text(_format_of(common), "utf-8")
        return [
            *_read_only(str(common / part) for part in CLONE_PARTS),
            *("--ro-bind", str(config), str(common / "config")),
            *_read_only([str(own)]),
        ]


def sandbox_for(goal: Task, worktree: Path, commit: str, writable: Path) -> Sandbox | None:
    """Return the sandbox that a commit must be tested in; None where nothing asks for one.

    NoSandbox where one is needed, there is none and the operator did not waive it.
    """
    if not holds_strangers_work(goal, commit):
        return None
    network = settings.ENVIRONMENT.test_network == "1" or bool(goal.test_settings.get("network"))
    sandbox = Sandbox(worktree.resolve(), writable.resolve(), network)
    try:
        sandbox.require()
    except NoSandbox:
        if settings.ENVIRONMENT.unsafe_test_without_sandbox == "1":
            return None
        raise
    return sandbox


def holds_strangers_work(goal: Task, commit: str) -> bool:
    """Tell whether a commit is, or stands on, what a seller made whom the buyer does not trust."""
    hired = hooks.tasks_of_strangers(goal.id)
    reported = Task.objects.filter(id__in=hired).exclude(commit="").values_list("commit", flat=True)
    repository = Repository(goal.repository, local_node().home)
    return any(
        repository.has_commit(each) and repository.is_ancestor(each, commit) for each in reported
    )


def _read_only(paths: Iterable[str]) -> list[str]:
    return [word for path in paths for word in ("--ro-bind-try", path, path)]


def _format_of(common: Path) -> str:
    """Return a configuration with nothing but the format of the repository."""
    pattern = r"^(core\.repositoryformatversion|core\.bare|extensions\.(objectformat|refstorage))$"
    args = ["config", "--file", str(common / "config"), "--get-regexp", pattern]
    lines = []
    for line in run_git(args, check=False).stdout.splitlines():
        name, _, value = line.partition(" ")
        section, _, key = name.partition(".")
        lines.append(f"[{section}]\n\t{key} = {value}\n")
    return "".join(lines)
