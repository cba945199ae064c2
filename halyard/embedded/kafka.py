"""A real single-node Apache Kafka (KRaft) as our own child, on a loopback port.

Ready means that *our* child answers: the broker at our port names the cluster id that we gave
it. Measured: first start 6 s, later ones 4 s, after SIGKILL 6 s (the old registration must
expire first, hence the short session time-out).
"""

from __future__ import annotations

import base64
import os
import signal
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from halyard.embedded import datadir, jars, probe
from halyard.embedded.errors import DiskFull, JarsBroken, PortTaken, StartFailed
from halyard.embedded.process import Child, last_lines, nothing, run_child, wait_until

_READY_SECONDS = 60.0
_LOCK_SECONDS = 10.0
_STOP_SECONDS = 10.0
_NEEDED_MEBIBYTES = 256

_PROPERTIES = """\
# Written anew at each start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=BROKER://127.0.0.1:{port}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
log.dirs={data}
# One node: every internal topic has one copy.
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Topics are made from topics.toml, never by a typing error.
auto.create.topics.enable=false
num.partitions=4
group.initial.rebalance.delay.ms=0
# A restart after SIGKILL waits for the old registration to expire.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
# Small machines: little memory for each partition and for the cleaner.
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
"""

# Kafka logs no record contents at INFO; DEBUG would.
_LOGGING = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log_file}
appender.file.filePattern = {log_file}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %c{{1}} %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = WARN
rootLogger.appenderRefs = file
rootLogger.appenderRef.file.ref = file
logger.server.name = kafka.server
logger.server.level = INFO
logger.log.name = org.apache.kafka.storage.internals.log
logger.log.level = WARN
"""


class EmbeddedKafka:
    """One broker on a data directory; a context manager.

    `data_dir` is made if it is missing and held under our lock. `cache_dir` keeps the jars
    (default: `jars.default_cache`). `port` asks for a port; without it the last one is used
    again if it is free. `heap_mb` bounds Java's heap. `progress` gets a line a step.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        cache_dir: Path | None = None,
        port: int | None = None,
        heap_mb: int = 512,
        progress: Callable[[str], None] = nothing,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._directory = data_dir.absolute()
        self._environment = dict(os.environ if environment is None else environment)
        self._cache = (cache_dir or jars.default_cache(self._environment)).absolute()
        self._wanted_port = port
        self._heap_mb = heap_mb
        self._progress = progress
        self._lock = datadir.DirectoryLock(self._directory)
        self._child: Child | None = None
        self._port = 0
        self._cluster_id = ""
        self._offsets: dict[Path, int] = {}

    @property
    def bootstrap_servers(self) -> str:
        """``127.0.0.1:port``; known from `launch` on, certain after `wait_ready`."""
        return f"{datadir.LOOPBACK}:{self._port}"

    @property
    def cluster_id(self) -> str:
        """The id that this data directory was formatted with; known from `launch` on."""
        return self._cluster_id

    @property
    def log_file(self) -> Path:
        """The broker's own log."""
        return self._directory / "kafka.log"

    @property
    def output_file(self) -> Path:
        """What Java itself prints; empty unless something is wrong."""
        return self._directory / "kafka.out"

    @property
    def pid(self) -> int:
        """The broker's process id; `StartFailed` if it was not started."""
        return self._running().pid

    def alive(self) -> bool:
        """True while the broker's process runs."""
        return self._child is not None and self._child.exit_code is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the broker and return when it answers. From the main thread only.

        Raises a subclass of `EmbeddedError` that says what is missing, or `StartFailed`.
        """
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """The first half of `start`: returns when the process was started."""
        if self.alive():
            return
        self._child = None
        self._lock.release()
        self._lock.acquire(_LOCK_SECONDS)
        try:
            datadir.require_free_space(self._directory, _NEEDED_MEBIBYTES)
            java = jars.find_java(self._environment)
            libraries = jars.ensure_jars(
                self._cache, environment=self._environment, progress=self._progress
            )
            self._port = datadir.choose_port(self._directory / "port", wanted=self._wanted_port)
            self._write_settings()
            self._format(java, libraries)
            self._progress(f"starting Apache Kafka {jars.KAFKA_VERSION} on port {self._port}")
            files = (self.output_file, self.log_file)
            self._offsets = {path: path.stat().st_size if path.exists() else 0 for path in files}
            self._child = Child.spawn(
                (*self._java(java, libraries), "kafka.Kafka", str(self._properties)),
                death_signal=signal.SIGKILL,  # Java may take its time over anything gentler
                environment=self._java_environment(),
                output=self.output_file,
                cwd=self._directory,
                keep=(self._lock.descriptor,),
            )
        except BaseException:
            self._lock.release()
            raise

    def wait_ready(self, timeout: float = _READY_SECONDS) -> None:
        """The second half of `start`: returns when our child answers with our cluster id.

        A port that another program took meanwhile is replaced, unless it was asked for: the address
        is certain only from here on.

        Raises `PortTaken`, `DiskFull`, `JarsBroken` or `StartFailed`, with nothing running.
        """
        remembered = None if self._wanted_port is not None else self._directory / "port"
        datadir.on_any_port(lambda: self._wait(timeout), self.launch, remembered=remembered)

    def _wait(self, timeout: float) -> None:
        child = self._running()
        if wait_until(self._answers, child=child, timeout=timeout):
            datadir.remember_port(self._directory / "port", self._port)
            return
        ended = child.exit_code
        self.kill()
        raise self._explain(ended)

    def stop(self) -> None:
        """Stop the broker in good order (SIGTERM, then SIGKILL after 10 s)."""
        if self._child is not None:
            self._child.stop([(signal.SIGTERM, _STOP_SECONDS)])
        self._child = None
        self._lock.release()

    def kill(self) -> None:
        """End the broker with SIGKILL, as a power cut would."""
        if self._child is not None:
            self._child.kill()
        self._child = None
        self._lock.release()

    @property
    def _properties(self) -> Path:
        return self._directory / "server.properties"

    def _running(self) -> Child:
        if self._child is None:
            raise StartFailed("Kafka was not started; call start() first.")
        return self._child

    def _java(self, java: Path, libraries: Path) -> tuple[str, ...]:
        return (
            str(java),
            *(f"-Xmx{self._heap_mb}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "-Djava.awt.headless=true"),
            f"-Djava.io.tmpdir={self._directory / 'tmp'}",
            f"-Dlog4j2.configurationFile={self._directory / 'log4j2.properties'}",
            *("-cp", f"{libraries}/*"),
        )

    def _java_environment(self) -> dict[str, str]:
        # JAVA_TOOL_OPTIONS and the like would change heap or logging behind our back.
        kept = ("PATH", "HOME", "LANG", "JAVA_HOME", "TZ")
        return {name: self._environment[name] for name in kept if name in self._environment}

    def _write_settings(self) -> None:
        (self._directory / "tmp").mkdir(mode=0o700, exist_ok=True)
        controller_port = datadir.free_ports(1)[0]
        properties = _PROPERTIES.format(
            port=self._port, controller_port=controller_port, data=self._directory / "data"
        )
        datadir.write_private(self._properties, properties)
        datadir.write_private(
            self._directory / "log4j2.properties", _LOGGING.format(log_file=self.log_file)
        )
        self.log_file.touch(mode=0o600)

    def _format(self, java: Path, libraries: Path) -> None:
        """Format the storage, unless a whole format is there already."""
        known = self._directory / "cluster_id"
        if known.exists():
            self._cluster_id = known.read_text("ascii").strip()
            return
        raw = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        cluster_id = "k" + raw[1:]  # a leading dash would look like an option
        self._progress("formatting Kafka's storage (once)")
        code, output = run_child(
            (
                *self._java(java, libraries),
                *("kafka.tools.StorageTool", "format", "--ignore-formatted"),
                *("-t", cluster_id, "-c", str(self._properties)),
            ),
            environment=self._java_environment(),
            timeout=_READY_SECONDS,
        )
        if code != 0:
            raise _explanation(output, self._port) or StartFailed(
                f"Kafka's storage could not be formatted in {self._directory / 'data'}: "
                f"{output.strip()[-300:]}"
            )
        # Written last: a format that was cut short is done again.
        formatted = self._directory / "data" / "meta.properties"
        cluster_id = _property(formatted.read_text("utf-8"), "cluster.id") or cluster_id
        datadir.write_private(known, cluster_id + "\n")
        self._cluster_id = cluster_id

    def _answers(self) -> bool:
        cluster = probe.describe_cluster(datadir.LOOPBACK, self._port)
        return (
            cluster is not None
            and cluster.cluster_id == self._cluster_id
            and cluster.brokers == {1: self._port}  # registered anew, not still the last run's
        )

    def _explain(self, ended: int | None) -> Exception:
        text = "".join(last_lines(path, offset=offset) for path, offset in self._offsets.items())
        state = "did not answer in time" if ended is None else f"ended with code {ended}"
        known = None if ended is None else _explanation(text, self._port)
        return known or StartFailed(f"Kafka {state}; read {self.log_file} and start it again.")


def _property(text: str, name: str) -> str | None:
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == name:
            return value.strip()
    return None


def _explanation(text: str, port: int) -> Exception | None:
    if "Address already in use" in text or "BindException" in text:
        return PortTaken(
            f"Kafka's port {port} (or its controller's) was taken by another program meanwhile; "
            "stop that program or choose another port."
        )
    if "No space left on device" in text:
        return DiskFull("Kafka found the disk full; free some space and start it again.")
    if "NoClassDefFoundError" in text or "ClassNotFoundException" in text:
        return JarsBroken()
    return None
