"""Which files a new worktree gets from its operator, and which never."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p.protocol.errors import DomainError
from swarm.git.repository import Repository
from swarm.worktrees import include
from swarm.worktrees.actions import add_included
from swarm.worktrees.include import copy_included, include_dir


def put(repo: Repository, name: str, text: str = "secret") -> Path:
    path = include_dir(repo) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_that_match_and_are_ignored_are_copied(repo: Repository, tree: Path) -> None:
    (tree / ".worktreeinclude").write_text(".env\nsecrets/**\n!secrets/other.txt\n")
    put(repo, ".env", "A=1").chmod(0o600)
    put(repo, "secrets/deep/db.txt")
    put(repo, "secrets/other.txt")
    put(repo, "not-named.key")

    outcome = copy_included(repo, tree)

    assert (outcome.copied, outcome.left_out) == ([".env", "secrets/deep/db.txt"], {})
    assert ((tree / ".env").read_text(), (tree / ".env").stat().st_mode & 0o777) == ("A=1", 0o600)
    assert not (tree / "secrets/other.txt").exists() and not (tree / "not-named.key").exists()


def test_a_file_that_the_repository_would_commit_is_left_out(repo: Repository, tree: Path) -> None:
    (tree / ".worktreeinclude").write_text("*\n")
    put(repo, "plain.txt")
    put(repo, "readme.txt", "mine")

    outcome = copy_included(repo, tree)

    assert outcome.left_out == dict.fromkeys(("plain.txt", "readme.txt"), include.NOT_IGNORED)
    assert (tree / "readme.txt").read_text() == "hello\n"


def test_what_stands_there_already_is_kept(repo: Repository, tree: Path) -> None:
    (tree / ".worktreeinclude").write_text(".env\n")
    put(repo, ".env", "new")
    (tree / ".env").write_text("old")

    assert copy_included(repo, tree).copied == [".env"]

    assert (tree / ".env").read_text() == "old"


def test_nothing_is_written_through_a_link_of_the_repository(
    repo: Repository, tree: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tree / "linked").symlink_to(outside)
    (tree / ".worktreeinclude").write_text("linked/\n.env\n")
    put(repo, "linked/a.key")
    put(repo, ".env")

    outcome = copy_included(repo, tree)

    assert outcome.copied == [".env"]
    assert outcome.left_out == {"linked/a.key": include.OUTSIDE}
    assert list(outside.iterdir()) == []


def test_links_are_not_followed(repo: Repository, tree: Path, tmp_path: Path) -> None:
    (tree / ".worktreeinclude").write_text("*.key\n")
    (tmp_path / "target").write_text("x")
    place = put(repo, "a.key")
    place.unlink()
    place.symlink_to(tmp_path / "target")

    assert copy_included(repo, tree).left_out == {"a.key": include.NO_FILE}


@pytest.mark.parametrize("missing", ["patterns", "folder"])
def test_without_patterns_or_files_nothing_is_copied(
    repo: Repository, tree: Path, missing: str
) -> None:
    if missing == "patterns":
        put(repo, ".env")
    else:
        (tree / ".worktreeinclude").write_text("*\n")

    assert copy_included(repo, tree).copied == []


def test_the_operator_adds_files_by_name(repo: Repository, tmp_path: Path) -> None:
    (tmp_path / "env.local").write_text("A=1")

    place = add_included(repo, tmp_path / "env.local", "config/.env")

    assert place == include_dir(repo) / "config" / ".env"
    assert place.read_text() == "A=1"
    with pytest.raises(DomainError) as out:
        add_included(repo, tmp_path / "env.local", "../../escape")
    with pytest.raises(DomainError) as missing:
        add_included(repo, tmp_path / "nothing")
    assert (out.value.code, missing.value.code) == ("bad_path", "no_such_file")
