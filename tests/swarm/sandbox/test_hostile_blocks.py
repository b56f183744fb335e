"""What sold work may try against the node that looks at its worktree afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError
from swarm.agents import isolation, steps
from swarm.agents.adapters import tool_named
from swarm.agents.places import run_dir_of, worktree_of
from swarm.agents.prompts import prepare_launch
from swarm.git.command import run_git
from swarm.git.repository import Repository
from swarm.mcp.access import McpAccess
from swarm.sandbox import cell
from swarm.worktrees.listing import SEALED, Place, describe_place
from tests.swarm.sandbox.conftest import Sold

COMMIT = "git add -A; git commit -qm work"


def test_settings_of_git_that_it_leaves_run_nothing_outside(
    sold: Sold, home: Path, outside: Path
) -> None:
    trap = f"touch {outside}/pwned ran"
    attempt, code, output = sold.run(
        "mkdir sub; echo '* filter=evil' > sub/.gitattributes; echo x > sub/f; "
        f"printf '#!/bin/sh\\n{trap}\\n' > trap.sh; chmod +x trap.sh; "
        "git init -q sub; cd sub; git add -A; git commit -qm sub; "
        "git config filter.evil.clean $PWD/../trap.sh; git config core.fsmonitor $PWD/../trap.sh; "
        "echo changed > f; cd ..; git config filter.evil.clean ./trap.sh || true; "
        "git -c advice.addEmbeddedRepo=false add -A; git commit -qm work"
    )
    assert code == 0, output

    commit = steps.publish(attempt)
    repository = Repository(str(sold.remote.path), home)
    steps.clean_up(attempt)

    assert not (outside / "pwned").exists()
    assert sold.remote.text(commit, "trap.sh").startswith("#!/bin/sh")
    assert repository.remote_head(attempt.branch) == commit
    assert not worktree_of(attempt).exists()


def test_an_embedded_repository_fails_the_run_and_its_files_are_kept(sold: Sold) -> None:
    attempt, _, _ = sold.run("git init -q sub; cd sub; echo x > f; git add f; git commit -qm sub")

    with pytest.raises(DomainError) as refused:
        steps.publish(attempt)
    assert steps.salvage(attempt) is False
    steps.clean_up(attempt)

    assert refused.value.code == "embedded_repository"
    assert (run_dir_of(attempt) / cell.LEFT / "sub" / "f").read_text() == "x\n"
    assert not worktree_of(attempt).exists()


def test_nobody_but_the_sandbox_looks_at_a_worktree_before_it_is_closed(
    sold: Sold, home: Path, git_commands: list[str]
) -> None:
    attempt = sold.attempt("true")
    repository = Repository(str(sold.remote.path), home)
    place = Place(worktree_of(attempt), repository, None, attempt)

    assert place.sealed
    assert describe_place(place)["at_stake"] == [SEALED]
    assert "status --porcelain" not in git_commands
    steps.clean_up(attempt)
    assert not place.sealed


def test_other_branches_abandoned_commits_and_files_are_rescued(sold: Sold) -> None:
    attempt, code, output = sold.run(
        f"echo 1 > one; {COMMIT}; git reset -q --hard HEAD~1; "
        f"git checkout -qb elsewhere; echo 2 > two; {COMMIT}; echo 3 > three"
    )
    assert code == 0, output

    with pytest.raises(DomainError, match="left task/1 for elsewhere"):
        steps.publish(attempt)
    assert steps.salvage(attempt) is False
    refs = steps.clean_up(attempt)

    shown = sold.remote.refs()
    names = [run_git(["ls-tree", "--name-only", shown[ref]], cwd=sold.remote.path) for ref in refs]
    held = {name for each in names for name in each.stdout.split()}
    assert {"one", "two", "three"} <= held
    assert not (run_dir_of(attempt) / cell.LEFT).exists()
    assert f"refs/heads/{attempt.branch}" not in shown


def test_a_repository_that_it_broke_costs_its_work_alone(sold: Sold, home: Path) -> None:
    clone = Repository(str(sold.remote.path), home).path
    attempt, _, _ = sold.run(f"echo x > x; rm -rf {clone}/worktrees {clone}/refs || true")

    assert steps.salvage(attempt) is False
    assert steps.clean_up(attempt) == []

    assert (run_dir_of(attempt) / cell.LEFT / "x").read_text() == "x\n"
    assert not worktree_of(attempt).exists()
    assert (clone / "refs").is_dir()
    later, code, _ = sold.run(f"echo y > y; {COMMIT}")
    assert code == 0 and steps.publish(later)


def test_links_lead_nothing_of_ours_astray(sold: Sold, outside: Path, home: Path) -> None:
    victim = outside / "victim"
    victim.mkdir()
    (victim / "precious.lock").write_text("1")
    clone = Repository(str(sold.remote.path), home).path
    attempt, code, output = sold.run(
        f"echo x > x; {COMMIT}; ln -s {victim} link; ln -s {victim} {clone}/refs/heads/link; "
        f"rm -rf ~/.config; ln -s {victim} ~/.config; touch .git.lock"
    )
    assert code == 0, output

    steps.publish(attempt)
    steps.clean_up(attempt)

    assert [path.name for path in victim.iterdir()] == ["precious.lock"]


def test_what_a_node_that_died_had_begun_is_finished(
    sold: Sold, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, _, _ = sold.run(f"echo x > x; {COMMIT}")
    repository = Repository(str(sold.remote.path), home)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(cell, "_restore", _die)
        steps.publish(attempt)
    assert isolation.in_cell(attempt) and not worktree_of(attempt).exists()
    assert steps.salvage(attempt) is True

    assert sold.remote.text(repository.remote_head(attempt.branch) or "", "x") == "x\n"
    assert not isolation.in_cell(attempt)


def test_a_worktree_that_somebody_deleted_costs_no_commit(sold: Sold) -> None:
    attempt, _, _ = sold.run(f"echo x > x; {COMMIT}")
    shutil.rmtree(worktree_of(attempt))

    with pytest.raises(DomainError, match="was deleted"):
        steps.publish(attempt)
    assert steps.salvage(attempt) is True

    commit = sold.remote.refs()[f"refs/heads/{attempt.branch}"]
    assert sold.remote.text(commit, "x") == "x\n"


def test_a_file_of_the_tools_does_not_follow_a_link_of_the_repositorys(
    sold: Sold, home: Path, outside: Path
) -> None:
    attempt = sold.attempt("true")
    (worktree_of(attempt) / ".fake").symlink_to(outside)
    (home / "tools").mkdir()
    (home / "tools" / "fake.toml").write_text(
        'name = "fake"\nstart = ["sh"]\ndeliver = "prompt"\n'
        '[[screen]]\nname = "box"\nstate = "ready"\nmatch = "x"\n'
        '[mcp]\nfile = "{worktree}/.fake/settings.json"\ncontent = "{token}"\n'
    )

    with pytest.raises(DomainError, match=r"leads settings\.json out of the worktree"):
        prepare_launch(tool_named("fake"), attempt, McpAccess("http://127.0.0.1:1/mcp", "t"))

    assert not (outside / "settings.json").exists()


def _die(*_: object) -> None:
    raise KeyboardInterrupt
