"""The jars of Apache Kafka: resolved by Maven once, checked, kept in the user's cache.

Maven copies into a temporary directory; only a set whose SHA-256 sums are the committed ones is
renamed into place, and it is checked again before each start (a jar that is cut short would
show only as NoClassDefFoundError).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from halyard.embedded.datadir import DirectoryLock, require_free_space
from halyard.embedded.errors import (
    DirectoryForeign,
    JarsBroken,
    JavaMissing,
    JavaTooOld,
    MavenFailed,
    MavenMissing,
)
from halyard.embedded.process import nothing, run_child

KAFKA_VERSION = "4.3.1"
OLDEST_JAVA = 17

_POM = Path(__file__).with_name("pom.xml")
_SUMS = Path(__file__).with_name("kafka.sha256")
_NEEDED_MEBIBYTES = 200  # 54 for the jars, the rest for Maven's own copies
_MAVEN_SECONDS = 900.0
_LOCK_SECONDS = 900.0


def default_cache(environment: Mapping[str, str]) -> Path:
    """Where downloads are kept: ``$HALYARD_HOME/cache``, ``$XDG_CACHE_HOME/halyard`` or
    ``~/.cache/halyard``."""
    home = environment.get("HALYARD_HOME")
    if home:
        return Path(home) / "cache"
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "halyard"


def find_java(environment: Mapping[str, str]) -> Path:
    """The java to run: of JAVA_HOME, else of PATH; at least version 17.

    Raises `JavaMissing` or `JavaTooOld`.
    """
    home = environment.get("JAVA_HOME")
    named = Path(home) / "bin" / "java" if home else None
    found = shutil.which("java", path=environment.get("PATH"))
    java = named if named is not None and os.access(named, os.X_OK) else found and Path(found)
    if not java:
        raise JavaMissing
    _, output = run_child((str(java), "-version"), environment=environment, timeout=60)
    version = re.search(r'version "(?:1\.)?(\d+)', output)
    if version is None:
        raise JavaMissing(f"{java} does not run; install Java {OLDEST_JAVA} or newer.")
    if int(version[1]) < OLDEST_JAVA:
        raise JavaTooOld(
            f"{java} is version {version[1]}; install Java {OLDEST_JAVA} or newer, or point "
            "JAVA_HOME at one."
        )
    return java


def expected_sums(path: Path = _SUMS) -> dict[str, str]:
    """The committed sums: file name to SHA-256 in hexadecimal."""
    pairs = (line.split(maxsplit=1) for line in path.read_text("ascii").splitlines())
    return {name.strip(): digest for digest, name in pairs}


def actual_sums(directory: Path) -> dict[str, str]:
    """The sums of the jars in a directory, in the form of `expected_sums`."""
    sums = {}
    for jar in sorted(directory.glob("*.jar")):
        with jar.open("rb") as file:
            sums[jar.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def differing(directory: Path, expected: Mapping[str, str]) -> tuple[str, ...]:
    """Names of jars that are missing, too many or not what they should be."""
    actual = actual_sums(directory)
    names = actual.keys() | expected.keys()
    return tuple(sorted(name for name in names if actual.get(name) != expected.get(name)))


def ensure_jars(
    cache: Path,
    *,
    environment: Mapping[str, str],
    progress: Callable[[str], None] = nothing,
    sums: Mapping[str, str] | None = None,
) -> Path:
    """The directory with the checked jars; fetched by Maven if it is not there yet.

    A cached set that was damaged is thrown away and fetched anew. Raises `MavenMissing`,
    `MavenFailed`, `JarsBroken`, `DiskFull`, `DirectoryForeign`.
    """
    expected = expected_sums() if sums is None else sums
    target = cache / f"kafka-{KAFKA_VERSION}"
    if target.is_dir() and not differing(target, expected):
        return target
    lock = DirectoryLock(cache, owner_file="fetch.lock").acquire(_LOCK_SECONDS, wait=True)
    try:
        if target.is_dir():
            broken = differing(target, expected)
            if not broken:  # another process fetched it while we waited
                return target
            progress(f"Kafka jars in {target} are damaged ({_few(broken)}); fetching them anew")
            shutil.rmtree(target)
        _fetch(target, expected, environment=environment, progress=progress)
    finally:
        lock.release()
    return target


def _fetch(
    target: Path,
    expected: Mapping[str, str],
    *,
    environment: Mapping[str, str],
    progress: Callable[[str], None],
) -> None:
    maven = shutil.which("mvn", path=environment.get("PATH"))
    if maven is None:
        raise MavenMissing
    require_free_space(target, _NEEDED_MEBIBYTES)
    progress(f"fetching Apache Kafka {KAFKA_VERSION} with Maven (54 MB, once)")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as temporary:
            place = Path(temporary) / "jars"
            _run_maven(maven, place, environment, extra=())
            if differing(place, expected):
                # Maven's own repository may hold the damaged file: go past it, once.
                progress("a jar differs from its sum; fetching all of them again")
                shutil.rmtree(place)
                own = f"-Dmaven.repo.local={temporary}/repository"
                _run_maven(maven, place, environment, extra=(own,))
            broken = differing(place, expected)
            if broken:
                raise JarsBroken(f"{JarsBroken().message} Jars: {_few(broken)}.")
            place.rename(target)
    except PermissionError as error:
        raise DirectoryForeign(
            f"The cache {target.parent} cannot be written; point HALYARD_HOME at another place."
        ) from error


def _run_maven(
    maven: str, place: Path, environment: Mapping[str, str], *, extra: Iterable[str]
) -> None:
    command = (
        *(maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"),
        *("-DincludeScope=runtime", f"-DoutputDirectory={place}"),
        *extra,
    )
    try:
        code, output = run_child(command, environment=environment, timeout=_MAVEN_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MavenFailed(f"{MavenFailed().message} It took over 15 minutes.") from error
    if code != 0:
        told = " ".join(line for line in output.splitlines() if "ERROR" in line)[:600]
        raise MavenFailed(f"{MavenFailed().message} Maven says: {told or output[-600:]}")


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def main(arguments: list[str]) -> int:
    """``python -m halyard.embedded.jars sums DIRECTORY``: print the sums to commit."""
    if len(arguments) != 2 or arguments[0] != "sums":
        print(main.__doc__, file=sys.stderr)
        return 2
    for name, digest in actual_sums(Path(arguments[1])).items():
        print(f"{digest}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
