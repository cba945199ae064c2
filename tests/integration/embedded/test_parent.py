"""Both services under a parent that is killed, as root and as an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from halyard.embedded import jars, probe
from halyard.embedded.process import process_runs
from tests.support.waiting import eventually

REPOSITORY = Path(__file__).parents[3]
SCRIPT = REPOSITORY / "tests" / "support" / "embedded_parent.py"
READY_SECONDS = 15
NOBODY = 65534
NO_ACCOUNT = 64001  # a user id that no account has, as in some containers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")


class Parent:
    """The process that starts both services and is then killed."""

    def __init__(
        self, command: tuple[str, ...], directory: Path, cache: Path, environment: Mapping[str, str]
    ) -> None:
        self._process = subprocess.Popen(
            (*command, str(SCRIPT), str(directory), str(cache)),
            stdout=subprocess.PIPE,
            env=dict(environment),
            cwd="/",
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.kill()
            pytest.fail("the parent ended before both services were ready")
        self.told: dict[str, Any] = json.loads(line)

    def kill(self) -> None:
        """SIGKILL: nobody is left to stop anything."""
        self._process.kill()
        self._process.communicate()

    def assert_serves(self) -> None:
        """Both answer, each as itself."""
        host, _, port = self.told["bootstrap_servers"].partition(":")
        cluster = probe.describe_cluster(host, int(port))
        assert cluster is not None
        assert cluster.cluster_id == self.told["cluster_id"]
        with psycopg.connect(self.told["admin_url"]) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def kill_and_start_again(
    command: tuple[str, ...], directory: Path, cache: Path, environment: Mapping[str, str]
) -> None:
    """Both end with their parent, and start again at once on what they left."""
    first = Parent(command, directory, cache, environment)
    first.assert_serves()
    assert first.told["seconds"] < READY_SECONDS
    first.kill()
    began = time.monotonic()
    second = Parent(command, directory, cache, environment)  # does not wait for the end
    try:
        assert time.monotonic() - began < READY_SECONDS
        assert not process_runs(first.told["kafka"])
        assert not process_runs(first.told["postgres"])
        second.assert_serves()
        assert second.told["cluster_id"] == first.told["cluster_id"]
    finally:
        second.kill()
    pids = (second.told["kafka"], second.told["postgres"])
    eventually(lambda: not any(map(process_runs, pids)), why="the end of both")


def test_both_die_with_a_killed_parent_and_start_again(tmp_path: Path) -> None:
    """As who we are: SIGKILL leaves nothing running, and the next start is ready within 15 s."""
    cache = jars.default_cache(os.environ)
    jars.ensure_jars(cache, environment=os.environ)
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    kill_and_start_again((sys.executable,), tmp_path, cache, environment)


class Ordinary:
    """An ordinary user: how to become one, and what he has."""

    def __init__(self, uid: int) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="halyard-user-"))
        os.chown(self.place, uid, uid)
        self.become = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.place),
            "PYTHONPATH": f"{REPOSITORY}:{sysconfig.get_path('purelib')}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }


@pytest.fixture(
    params=[
        pytest.param(NOBODY, id="account", marks=pytest.mark.slow),
        pytest.param(NO_ACCOUNT, id="no account"),  # the harder case
    ]
)
def ordinary(request: pytest.FixtureRequest) -> Iterator[Ordinary]:
    """A user without any privilege."""
    user = Ordinary(request.param)
    yield user
    shutil.rmtree(user.place, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs the test above")
def test_the_same_holds_for_an_ordinary_user(ordinary: Ordinary) -> None:
    """Without any privilege: the same start, the same end, the same second start."""
    python = reachable_python(ordinary)
    ours = jars.ensure_jars(jars.default_cache(os.environ), environment=os.environ)
    theirs = ordinary.place / "cache"
    shutil.copytree(ours, theirs / ours.name)
    kill_and_start_again(
        (*ordinary.become, python), ordinary.place / "data", theirs, ordinary.environment
    )


def reachable_python(user: Ordinary) -> str:
    """A Python of our version that the ordinary user can run with our packages; else skip."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # It starts itself once more: setpriv may still find a program that its user cannot.
    check = "import subprocess, sys, psycopg; subprocess.run([sys.executable, '-V'], check=True)"
    for python in (sys.executable, f"/usr/bin/python{version}", f"/usr/local/bin/python{version}"):
        done = subprocess.run(
            (*user.become, python, "-c", check),
            env=user.environment,
            cwd="/",
            capture_output=True,
            check=False,
        )
        if done.returncode == 0:
            return python
    pytest.skip("no Python of this version that an ordinary user can reach")
