"""The Makefile's set-up, on machines with other Pythons and with what an earlier set-up left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("cat", "make", "rm", "sed", "touch")
# With `-c` it says whether its version is right; with other arguments it prints them, and fails.
PYTHON = '#!/bin/sh\n[ "$1" = -c ] && exit {code}\necho "$0 $*"\nexit 1\n'


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A clone on a machine that has these Pythons, with a right version or not; returns a function that calls make there."""
    clone, programs = tmp_path / "a clone", tmp_path / "bin"
    clone.mkdir()
    programs.mkdir()
    for name in ("Makefile", "pyproject.toml", "setup.cfg", "uv.lock"):
        shutil.copy(ROOT / name, clone)
    for name in TOOLS:
        found = shutil.which(name)
        if found is None:
            pytest.skip(f"there is no {name}")
        (programs / name).symlink_to(found)

    def make(*arguments: str, **right: bool) -> subprocess.CompletedProcess[str]:
        for name, is_right in right.items():
            path = programs / name.replace("_", ".")
            path.write_text(PYTHON.format(code=0 if is_right else 1))
            path.chmod(0o755)
        variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        return subprocess.run(
            ["make", *arguments], cwd=clone, env=variables | {"PATH": str(programs)}, capture_output=True, text=True, check=False
        )

    return make


@pytest.mark.parametrize("name", ["python3", "python3.10", "python3.12", "python3.14"])
def test_any_one_python_of_a_right_version_will_do(machine, name: str) -> None:
    assert f"/{name} -m venv .venv" in machine("lint", **{name.replace(".", "_"): True}).stdout


def test_a_python_that_is_too_old_or_only_a_name_is_passed_over(machine) -> None:
    assert "/python3.13 -m venv .venv" in machine("lint", python3=False, python3_11=False, python3_13=True).stdout


def test_without_a_python_one_line_says_what_to_do(machine) -> None:
    done = machine("lint", python3=False)
    assert done.returncode != 0
    [line, _] = done.stderr.splitlines()
    assert line == "Python 3.10 to 3.14 is missing: install one, or name it: make PYTHON=/opt/python3.12/bin/python3.12 ..."


def test_without_kubectl_one_line_says_how_to_get_it(machine, tmp_path: Path) -> None:
    # A user other than root, as `id -u` says.
    (tmp_path / "bin" / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "bin" / "id").chmod(0o755)
    [line, _] = machine("kubectl").stderr.splitlines()
    assert "Debian, as root: apt-get install kubernetes-client" in line


def working_environment(clone: Path, ready: str | None) -> Path:
    """An environment whose programs do nothing; returns a file in it."""
    programs = clone / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "uv", "ruff", "mypy", "lint-imports", "shellcheck"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    if ready is not None:
        (clone / ".venv" / ".ready").write_text(f"{ready}\n")
    return programs / "ruff"


def test_an_environment_that_is_ready_is_used(machine, tmp_path: Path) -> None:
    program = working_environment(tmp_path / "a clone", ready=str((tmp_path / "a clone").resolve()))
    done = machine("lint")
    assert (done.returncode, done.stderr, program.exists()) == (0, "", True)
    assert "uv sync" not in done.stdout


def test_where_no_wheel_has_shellcheck_one_line_says_how_to_get_it(machine, tmp_path: Path) -> None:
    program = working_environment(tmp_path / "a clone", ready=str((tmp_path / "a clone").resolve()))
    program.with_name("shellcheck").rename(tmp_path / "bin" / "shellcheck")
    assert machine("lint").returncode == 0
    (tmp_path / "bin" / "shellcheck").unlink()
    [line, _] = machine("lint").stderr.splitlines()
    assert "Debian: apt-get install shellcheck" in line


@pytest.mark.parametrize("platform", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"])
def test_all_that_demo_and_test_need_is_on_the_index_as_wheels(platform: str, tmp_path: Path) -> None:
    """Other packages would be built, and a build may need compilers, or hosts other than the index."""
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv, "sync", "--locked", "--offline", "--dry-run", "--no-build", "--no-install-project", "--python-platform", platform],
        cwd=ROOT,
        env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "environment"), "UV_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "+ apache-airflow==" in done.stderr) == (0, True), done.stderr[-1000:]


@pytest.mark.parametrize(
    ("ready", "python"),
    [
        pytest.param("/where/the clone was before", "#!/bin/sh\n", id="of a clone that was moved"),
        pytest.param(None, "#!/bin/sh\n", id="of a set-up that was interrupted"),
        pytest.param("here", "#!/usr/bin/a-python-that-is-gone\n", id="of a Python that is gone"),
    ],
)
def test_an_environment_that_would_not_work_is_made_anew(machine, tmp_path: Path, ready: str | None, python: str) -> None:
    clone = tmp_path / "a clone"
    program = working_environment(clone, ready=str(clone.resolve()) if ready == "here" else ready)
    program.with_name("python").write_text(python)
    assert "/python3.12 -m venv .venv" in machine("lint", python3_12=True).stdout
    assert not program.exists()
