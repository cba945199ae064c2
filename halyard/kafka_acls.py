"""Who may read and write which topic, at the brokers: what is there, what is wanted.

kafka-python's admin client, synchronous, as `halyard.kafka_admin`. Rights are only ever added: one
that is there and not wanted is shown, and taken away by a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import KafkaError, NoError, SecurityDisabledError

from halyard.errors import ConfigurationError, PermanentError
from halyard.kafka_admin import ask

Kind = Literal["TOPIC", "GROUP"]
Operation = Literal["READ", "WRITE", "DESCRIBE"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One right: of a principal, to do this with this topic or group (`prefixed`: with every one
    whose name begins so), from anywhere.
    """

    principal: str
    kind: Kind
    name: str
    operation: Operation
    prefixed: bool = False

    def text(self) -> str:
        """As a line for people."""
        what = f"{self.kind.lower()} {self.name}{'*' if self.prefixed else ''}"
        return f"{self.principal} may {self.operation} {what}"


@dataclass(frozen=True, slots=True)
class AclPlan:
    """What is missing, and what is there that nobody asked for."""

    missing: tuple[Right, ...]
    others: tuple[str, ...]


def plan(bootstrap: str, wanted: Iterable[Right]) -> AclPlan:
    """What `apply` would do. Raises `ConfigurationError` if the brokers have no authorizer,
    `BrokerUnavailable`.
    """

    def look(client: KafkaAdminClient) -> dict[ACL, Right | None]:
        found, error = client.describe_acls(_EVERYTHING)
        _check(error)
        return {one: _right(one) for one in found}

    there = _ask(bootstrap, look)
    asked = set(wanted)
    return AclPlan(
        missing=tuple(sorted(asked - set(there.values()))),
        others=tuple(
            sorted(
                str(one) if right is None else right.text()
                for one, right in there.items()
                if right is None or right not in asked
            )
        ),
    )


def apply(bootstrap: str, rights: Iterable[Right]) -> None:
    """Add `rights`. Raises as `plan`, and `PermanentError` for what the brokers refuse."""
    made = [_acl(right) for right in rights]
    if not made:
        return

    def add(client: KafkaAdminClient) -> None:
        for error in client.create_acls(made)["failed"]:
            _check(error)

    _ask(bootstrap, add)


_EVERYTHING = ACLFilter(
    principal=None,
    host=None,
    operation=ACLOperation.ANY,
    permission_type=ACLPermissionType.ANY,
    resource_pattern=ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)


def _ask(bootstrap: str, question: Callable[[KafkaAdminClient], T]) -> T:
    def asked(client: KafkaAdminClient) -> T:
        try:
            return question(client)
        except SecurityDisabledError:
            raise _no_authorizer() from None

    return ask(bootstrap, asked)


def _no_authorizer() -> ConfigurationError:
    return ConfigurationError(
        "The brokers have no authorizer, so that everybody may do everything; set "
        "authorizer.class.name on them (StandardAuthorizer) first."
    )


def _acl(right: Right) -> ACL:
    shape = "PREFIXED" if right.prefixed else "LITERAL"
    return ACL(
        principal=right.principal,
        host="*",
        operation=ACLOperation[right.operation],
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(
            ResourceType[right.kind], right.name, ACLResourcePatternType[shape]
        ),
    )


def _right(acl: ACL) -> Right | None:
    """What an entry of the brokers is here; None for one that Halyard would never make."""
    pattern = acl.resource_pattern
    kind, operation = pattern.resource_type.name, acl.operation.name
    if acl.host != "*" or acl.permission_type is not ACLPermissionType.ALLOW:
        return None
    if kind not in ("TOPIC", "GROUP") or operation not in ("READ", "WRITE", "DESCRIBE"):
        return None
    prefixed = pattern.pattern_type is ACLResourcePatternType.PREFIXED
    return Right(acl.principal, kind, pattern.resource_name, operation, prefixed)


def _check(error: type[KafkaError] | KafkaError) -> None:
    kind: type[KafkaError] = error if isinstance(error, type) else type(error)
    if kind is NoError:
        return
    if kind is SecurityDisabledError:
        raise _no_authorizer()
    if kind.retriable:
        raise kind
    raise PermanentError(
        f"The brokers refused ({kind.__name__}); run it as a principal that may change ACLs."
    )
