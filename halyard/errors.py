"""The hub's errors: one root, three branches.

HalyardError
├── TransientError      try again later; nothing is wrong with the message
│   ├── BrokerUnavailable
│   └── DatabaseUnavailable
├── PermanentError      trying again changes nothing; somebody must mend something
│   ├── ConfigurationError
│   │   └── NoDirectory
│   ├── ContractError
│   └── RecordTooLarge
└── RejectedError       what was sent to us breaks a rule; names place and rule

The docstring of a class is its default message and says what to do (as in procrastinate).
No error carries personal data.
"""

from __future__ import annotations


class HalyardError(Exception):
    """Something failed in Halyard; run `halyard doctor` to see what and how to mend it."""

    def __init__(self, message: str | None = None) -> None:
        self.message = message or " ".join((self.__doc__ or "").split())
        super().__init__(self.message)


class TransientError(HalyardError):
    """A part the hub needs did not answer; wait, the operation is retried on its own."""


class BrokerUnavailable(TransientError):
    """Kafka did not confirm in time; check that the broker runs (`halyard doctor`) and retry."""


class DatabaseUnavailable(TransientError):
    """PostgreSQL did not answer in time; check that it runs (`halyard doctor`) and retry."""


class PermanentError(HalyardError):
    """The operation cannot succeed as it is; mend what the message names, then run it again."""


class ConfigurationError(PermanentError):
    """The configuration is wrong; mend the setting that the message names and start again."""


class NoDirectory(ConfigurationError):
    """The directory file cannot be read; set HALYARD_DIRECTORY_FILE."""


class ContractError(PermanentError):
    """A record on the bus does not follow its schema; inspect it in the dead-letter topic."""


class RecordTooLarge(PermanentError):
    """A record is larger than `kafka.max_record_bytes`; see it with `halyard outbox list`."""


class RejectedError(HalyardError):
    """What was sent breaks a rule; mend the place that is named and send it again.

    `place` is a field as the sender knows it (``PID-3``, ``line 4, birth_date``), `rule` a
    stable identifier that the documentation explains.
    """

    def __init__(self, message: str | None = None, *, place: str = "", rule: str = "") -> None:
        super().__init__(message)
        self.place = place
        self.rule = rule
