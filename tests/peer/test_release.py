"""What tells one release from another: the version, and in a checkout the commit."""

from pathlib import Path

import pytest

from cortex.peer import release
from cortex.peer.release import CHECKOUT, installed_release, own_release, updated_since

ONE, OTHER = "0123456789" + "a" * 30, "9876543210" + "b" * 30


def checkout(root: Path, commit: str, branch: str = "main") -> Path:
    write(root / ".git" / "HEAD", f"ref: refs/heads/{branch}\n")
    write(root / ".git" / "refs" / "heads" / branch, f"{commit}\n")
    return root


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_checkout_that_is_pulled_under_a_peer_is_another_release(tmp_path: Path):
    began_with = installed_release(checkout(tmp_path, ONE))
    assert updated_since(began_with, tmp_path) == ""

    checkout(tmp_path, OTHER)
    assert updated_since(began_with, tmp_path) == installed_release(tmp_path)
    assert installed_release(tmp_path).endswith("+9876543210")


def test_branch_of_another_name_at_the_same_commit_is_the_same_release(tmp_path: Path):
    one = checkout(tmp_path / "one", ONE)
    other = checkout(tmp_path / "other", ONE, "feature/more")
    assert installed_release(one) == installed_release(other)


def test_packed_and_detached_commits_are_told_as_the_loose_one_is(tmp_path: Path):
    loose = installed_release(checkout(tmp_path, ONE))
    git = tmp_path / ".git"
    (git / "refs" / "heads" / "main").unlink()
    tags = f"{OTHER} refs/tags/main\n^{OTHER}\n"
    write(git / "packed-refs", f"# pack-refs with: peeled\n{tags}{ONE} refs/heads/main\n")
    assert installed_release(tmp_path) == loose

    write(git / "HEAD", f"{ONE}\n")
    assert installed_release(tmp_path) == loose


@pytest.mark.parametrize("is_absolute", [False, True])
def test_further_worktree_tells_its_own_branch(tmp_path: Path, is_absolute: bool):
    main = checkout(tmp_path / "main", ONE)
    write(main / ".git" / "refs" / "heads" / "topic", OTHER)
    own = main / ".git" / "worktrees" / "topic"
    write(own / "HEAD", "ref: refs/heads/topic\n")
    write(own / "commondir", "../..\n")
    worktree = tmp_path / "topic"
    where = own if is_absolute else Path("..", "main", ".git", "worktrees", "topic")
    write(worktree / ".git", f"gitdir: {where}\n")
    assert installed_release(worktree).endswith("+9876543210")


@pytest.mark.parametrize("head", ["", "ref: refs/heads/gone\n", "ref: \0\n", "\0" * 41, "no hash"])
def test_folder_whose_commit_cannot_be_read_has_the_version_alone(tmp_path: Path, head: str):
    write(tmp_path / "broken" / ".git" / "HEAD", head)
    unmanaged = tmp_path / "unmanaged"
    assert installed_release(tmp_path / "broken") == installed_release(unmanaged)
    assert "+" not in installed_release(unmanaged)


def test_commit_is_looked_for_where_the_project_begins():
    assert (CHECKOUT / "pyproject.toml").is_file()


def test_running_process_keeps_the_release_that_it_began_with(monkeypatch: pytest.MonkeyPatch):
    began_with = own_release()
    monkeypatch.setattr(release, "installed_release", lambda: "9.9.9")
    assert own_release() == began_with
