"""Java and the Kafka jars: found, fetched, checked; each failure says what to do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from halyard.embedded import errors, jars

GOOD = {"one.jar": b"first", "two.jar": b"second"}
SUMS = {name: hashlib.sha256(data).hexdigest() for name, data in GOOD.items()}


def program(directory: Path, name: str, script: str) -> dict[str, str]:
    """A program on a PATH of its own (with the shell's tools behind it)."""
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin", "HOME": str(directory)}


def maven(directory: Path, first: str = "second", then: str | None = None) -> dict[str, str]:
    """A Maven that writes the two jars; `first` and `then` are the second jar's contents in an
    ordinary run and in one with a repository of its own."""
    return program(
        directory,
        "mvn",
        f"""
        echo run >> {directory}/runs
        text={first}
        for word in "$@"; do case "$word" in
            -DoutputDirectory=*) out=${{word#*=}} ;;
            -Dmaven.repo.local=*) text={then or first} ;;
        esac; done
        mkdir -p "$out"; printf first > "$out/one.jar"; printf "$text" > "$out/two.jar"
        """,
    )


def runs(directory: Path) -> int:
    """How often the Maven above ran."""
    record = directory / "runs"
    return len(record.read_text().splitlines()) if record.exists() else 0


def test_jars_are_fetched_once(tmp_path: Path) -> None:
    """The first call fetches and checks; the second finds them and runs nothing."""
    environment = maven(tmp_path / "bin")
    told: list[str] = []
    for _ in range(2):
        place = jars.ensure_jars(
            tmp_path / "cache", environment=environment, sums=SUMS, progress=told.append
        )
    assert {jar.name: jar.read_bytes() for jar in place.iterdir()} == GOOD
    assert runs(tmp_path / "bin") == 1
    assert len(told) == 1


def test_missing_maven_says_what_to_install(tmp_path: Path) -> None:
    """Without Maven and without cached jars the message names the package to install."""
    with pytest.raises(errors.MavenMissing, match="apt-get install maven"):
        jars.ensure_jars(tmp_path, environment={"PATH": str(tmp_path)}, sums=SUMS)


def test_cached_jars_need_no_maven(tmp_path: Path) -> None:
    """Once fetched, the jars are used on a machine without Maven and without network."""
    jars.ensure_jars(tmp_path / "cache", environment=maven(tmp_path / "bin"), sums=SUMS)
    jars.ensure_jars(tmp_path / "cache", environment={"PATH": ""}, sums=SUMS)


def test_failing_maven_is_quoted(tmp_path: Path) -> None:
    """What Maven says is part of the message; nothing half done stays in the cache."""
    environment = program(tmp_path / "bin", "mvn", "echo '[ERROR] no route to mirror'; exit 1")
    with pytest.raises(errors.MavenFailed, match=r"check the network.*no route to mirror"):
        jars.ensure_jars(tmp_path / "cache", environment=environment, sums=SUMS)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["fetch.lock"]


@pytest.mark.parametrize("damage", ["cut", "missing", "added"])
def test_damaged_jar_in_the_cache_is_fetched_anew(tmp_path: Path, damage: str) -> None:
    """A jar cut short, lost or added is found before Java starts, and mended."""
    environment = maven(tmp_path / "bin")
    place = jars.ensure_jars(tmp_path / "cache", environment=environment, sums=SUMS)
    if damage == "cut":
        (place / "two.jar").write_bytes(b"sec")
    elif damage == "missing":
        (place / "two.jar").unlink()
    else:
        (place / "three.jar").touch()
    told: list[str] = []
    jars.ensure_jars(tmp_path / "cache", environment=environment, sums=SUMS, progress=told.append)
    assert "damaged" in told[0]
    assert not jars.differing(place, SUMS)


def test_damaged_jar_in_mavens_own_repository_is_passed_by(tmp_path: Path) -> None:
    """If Maven's repository holds the damage, a second run goes past it."""
    environment = maven(tmp_path / "bin", first="damaged", then="second")
    place = jars.ensure_jars(tmp_path / "cache", environment=environment, sums=SUMS)
    assert not jars.differing(place, SUMS)
    assert runs(tmp_path / "bin") == 2


def test_jar_that_stays_wrong_is_named_and_never_used(tmp_path: Path) -> None:
    """A mirror that serves something else is refused by the name of the jar."""
    environment = maven(tmp_path / "bin", first="other")
    with pytest.raises(errors.JarsBroken, match=r"mirror.*two\.jar"):
        jars.ensure_jars(tmp_path / "cache", environment=environment, sums=SUMS)
    assert not (tmp_path / "cache" / f"kafka-{jars.KAFKA_VERSION}").exists()


def test_full_disk_stops_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Space is looked at before Maven runs."""
    monkeypatch.setattr(jars, "_NEEDED_MEBIBYTES", 10**9)
    with pytest.raises(errors.DiskFull):
        jars.ensure_jars(tmp_path / "cache", environment=maven(tmp_path / "bin"), sums=SUMS)
    assert runs(tmp_path / "bin") == 0


def test_missing_java_says_what_to_install(tmp_path: Path) -> None:
    """Without Java the message names the package and JAVA_HOME."""
    with pytest.raises(errors.JavaMissing, match=r"apt-get install openjdk-17.*JAVA_HOME"):
        jars.find_java({"PATH": str(tmp_path)})


@pytest.mark.parametrize(("version", "major"), [("11.0.22", "11"), ("1.8.0_402", "8")])
def test_old_java_is_named_with_its_version(tmp_path: Path, version: str, major: str) -> None:
    """A Java before 17 is refused, in the old and the new way of counting."""
    environment = program(tmp_path, "java", f"echo 'openjdk version \"{version}\"' >&2")
    with pytest.raises(errors.JavaTooOld, match=f"version {major}; install Java 17"):
        jars.find_java(environment)


def test_java_that_does_not_run_is_named(tmp_path: Path) -> None:
    """A stub that only fails counts as missing, by its path."""
    environment = program(tmp_path, "java", "exit 3")
    with pytest.raises(errors.JavaMissing, match=f"{tmp_path}/java does not run"):
        jars.find_java(environment)


@pytest.mark.parametrize("version", ["17.0.1", "21", "25-ea"])
def test_java_home_wins_over_path(tmp_path: Path, version: str) -> None:
    """JAVA_HOME names the Java to use; 17 and newer are accepted."""
    old = program(tmp_path / "old", "java", "echo 'openjdk version \"8\"'")
    (tmp_path / "home").mkdir()
    program(tmp_path / "home" / "bin", "java", f"echo 'openjdk version \"{version}\"'")
    found = jars.find_java({**old, "JAVA_HOME": str(tmp_path / "home")})
    assert found == tmp_path / "home" / "bin" / "java"


def test_cache_follows_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """HALYARD_HOME, then XDG_CACHE_HOME, then the home directory."""
    monkeypatch.setenv("HOME", "/home/someone")
    both = {"HALYARD_HOME": "/h", "XDG_CACHE_HOME": "/x"}
    assert jars.default_cache(both) == Path("/h/cache")
    assert jars.default_cache({"XDG_CACHE_HOME": "/x"}) == Path("/x/halyard")
    assert jars.default_cache({}) == Path("/home/someone/.cache/halyard")


def test_committed_sums_name_the_pinned_version() -> None:
    """pom.xml, version and sums speak of one Kafka."""
    names = jars.expected_sums()
    assert f"kafka_2.13-{jars.KAFKA_VERSION}.jar" in names
    assert f"kafka-tools-{jars.KAFKA_VERSION}.jar" in names
    assert all(len(digest) == 64 for digest in names.values())
    assert f"<kafka.version>{jars.KAFKA_VERSION}<" in jars._POM.read_text()
