"""What tells one release from another: the version, and the commit where there is one to know. And
what would install more of it.
"""

import json
import shlex
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from cortex.peer import release
from cortex.peer.release import (
    CHECKOUT,
    install_engine,
    installed_release,
    own_release,
    updated_since,
)

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


def installed_by_pip(site: Path, commit: object) -> None:
    told = site / f"cortex_fleet-{version('cortex-fleet')}.dist-info"
    write(told / "METADATA", f"Name: cortex-fleet\nVersion: {version('cortex-fleet')}\n")
    origin = {"url": "https://git.example/cortex", "vcs_info": {"vcs": "git", "commit_id": commit}}
    write(told / "direct_url.json", json.dumps(origin))


def test_package_from_git_that_is_replaced_under_a_peer_is_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "cortex"
    monkeypatch.syspath_prepend(tmp_path)
    installed_by_pip(tmp_path, ONE)
    began_with = installed_release(package)
    assert began_with.endswith("+0123456789")
    assert updated_since(began_with, package) == ""

    installed_by_pip(tmp_path, OTHER)
    assert updated_since(began_with, package).endswith("+9876543210")
    assert installed_release(checkout(tmp_path / "clone", ONE)) == began_with


@pytest.mark.parametrize("commit", [None, 7, "main", ONE[:-1]])
def test_what_an_installer_wrote_that_is_no_commit_is_not_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commit: object
):
    monkeypatch.syspath_prepend(tmp_path)
    installed_by_pip(tmp_path, commit)
    assert installed_release(tmp_path / "cortex") == version("cortex-fleet")


@pytest.mark.parametrize("text", ["", "[]", "no JSON", '{"dir_info": {"editable": true}}'])
def test_package_that_is_not_from_git_has_the_version_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
):
    monkeypatch.syspath_prepend(tmp_path)
    installed_by_pip(tmp_path, ONE)
    write(next(tmp_path.glob("*.dist-info")) / "direct_url.json", text)
    assert installed_release(tmp_path / "cortex") == version("cortex-fleet")


def a_package(name: str) -> str:
    return name


def no_package(_: str) -> None:
    return None


def told_to_pip(root: Path) -> list[str]:
    """What pip is given, and that it is this Python's."""
    words = shlex.split(install_engine(root))
    assert words[:4] == [sys.executable, "-m", "pip", "install"]
    return words[4:]


def test_checkout_without_torch_is_installed_again_with_what_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(release, "find_spec", a_package)
    root = tmp_path / "a checkout"
    write(root / "pyproject.toml", "")
    constraints = str(root / "constraints.txt")
    assert told_to_pip(root) == ["-c", constraints, "-e", f"{root}[engine]"]


def test_package_without_a_checkout_is_given_all_that_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(release, "find_spec", a_package)
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert sorted(told_to_pip(tmp_path)) == sorted(project["optional-dependencies"]["engine"])


def test_python_without_pip_is_told_no_line_of_pip(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(release, "find_spec", no_package)
    assert f"extra `engine`: {sys.executable} has no pip" in install_engine()


def test_commit_is_looked_for_where_the_project_begins():
    assert (CHECKOUT / "pyproject.toml").is_file()


def test_running_process_keeps_the_release_that_it_began_with(monkeypatch: pytest.MonkeyPatch):
    began_with = own_release()
    monkeypatch.setattr(release, "installed_release", lambda: "9.9.9")
    assert own_release() == began_with
