"""Roles and databases, for those who own their PostgreSQL: `halyard up`, containers, tests."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
from psycopg import sql

from halyard.postgres import FACE_ROLE, NCMD_ROLE, SEALER_ROLE, lock_id


def provision(
    admin_url: str,
    *,
    database: str,
    owner_password: str,
    app_password: str,
    template: str | None = None,
) -> tuple[str, str]:
    """Make the roles and a database, where missing; gives (owner URL, app URL).

    For `halyard up` and tests, which own their PostgreSQL; `admin_url` is a superuser's. The roles
    of the NCMD store, of the face and of the sealer cannot log in before `provision_ncmd`,
    `provision_face`, `provision_sealer`.
    """
    roles = (("halyard_owner", owner_password), ("halyard_app", app_password))
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("select pg_advisory_lock(%s)", (lock_id("provision"),))
        for role, password in roles:
            exists = connection.execute(
                "select 1 from pg_roles where rolname = %s", (role,)
            ).fetchone()
            verb: LiteralString = "alter" if exists else "create"
            connection.execute(
                sql.SQL(verb + " role {} login nosuperuser nobypassrls password {}").format(
                    sql.Identifier(role), sql.Literal(password)
                )
            )
        for role in (NCMD_ROLE, FACE_ROLE, SEALER_ROLE):
            _make_role(connection, role)
        if not connection.execute(
            "select 1 from pg_database where datname = %s", (database,)
        ).fetchone():
            connection.execute(
                sql.SQL(
                    "create database {} owner halyard_owner template {} strategy wal_log"
                ).format(sql.Identifier(database), sql.Identifier(template or "template1"))
            )
        info = connection.info
        base = f"{info.host or '127.0.0.1'}:{info.port}/{database}"
    return (
        f"postgresql://halyard_owner:{owner_password}@{base}",
        f"postgresql://halyard_app:{app_password}@{base}",
    )


def provision_ncmd(admin_url: str, *, database: str, password: str) -> str:
    """Let the NCMD store's role log in with `password`; gives its URL of `database`.

    As `provision`, and after it: for those who own their PostgreSQL.
    """
    return _let_in(admin_url, NCMD_ROLE, database, password)


def provision_face(admin_url: str, *, database: str, password: str) -> str:
    """As `provision_ncmd`, for the role of `halyard serve`."""
    return _let_in(admin_url, FACE_ROLE, database, password)


def provision_sealer(admin_url: str, *, database: str, password: str) -> str:
    """As `provision_ncmd`, for the role of `halyard sealer`."""
    return _let_in(admin_url, SEALER_ROLE, database, password)


def _let_in(admin_url: str, role: str, database: str, password: str) -> str:
    with psycopg.connect(admin_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("select pg_advisory_lock(%s)", (lock_id("provision"),))
        _make_role(connection, role)
        connection.execute(
            sql.SQL("alter role {} login nosuperuser nobypassrls password {}").format(
                sql.Identifier(role), sql.Literal(password)
            )
        )
        info = connection.info
        return f"postgresql://{role}:{password}@{info.host or '127.0.0.1'}:{info.port}/{database}"


def _make_role(connection: psycopg.Connection[Any], role: str) -> None:
    if not connection.execute("select 1 from pg_roles where rolname = %s", (role,)).fetchone():
        connection.execute(
            sql.SQL("create role {} nologin nosuperuser nobypassrls").format(sql.Identifier(role))
        )
