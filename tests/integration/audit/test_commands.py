"""`halyard audit …` on a real chain."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fhir.resources.R4B.auditevent import AuditEvent
from typer.testing import CliRunner, Result

from halyard.cli.main import app
from halyard.errors import PermanentError
from streams.audit.reviewing import ReviewRefused
from tests.support.audit import COUNCIL, HOSPITAL, KEY, Chain, entry
from tests.support.face import KEYS

NUMBER = "9990000018"


class Commands:
    """Commands on the database of a chain."""

    def __init__(self, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        secrets = tmp_path / "secrets.toml"
        secrets.write_text(
            f'bus_key = "{KEYS.bus.hex()}"\nstore_key = "{KEYS.store.hex()}"\n'
            f'[audit]\ncurrent = "test"\ntest = "{KEY.private_bytes_raw().hex()}"\n'
        )
        secrets.chmod(0o600)
        monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "data"))
        monkeypatch.setenv("HALYARD_SECURITY__SECRETS_FILE", str(secrets))
        monkeypatch.setenv("HALYARD_DATABASE__URL", chain.database.url)
        monkeypatch.setenv("HALYARD_AUDIT__HEARTBEAT_SECONDS", "1e9")  # the chain's clock stands
        monkeypatch.setenv("HALYARD_AUDIT__CHECKPOINT_DIR", str(chain.directory))
        self.chain = chain

    def __call__(self, *arguments: str, text: str | None = None) -> Result:
        """Run `halyard audit` with these arguments."""
        from concurrent.futures import ThreadPoolExecutor

        # a command has an event loop of its own
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(
                lambda: CliRunner().invoke(app, ["audit", *arguments], input=text)
            ).result()

    def json(self, *arguments: str, text: str | None = None) -> Any:
        """What such a command prints, which must succeed."""
        done = self(*arguments, text=text)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def audit(sealed: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Commands on a sealed chain."""
    return Commands(sealed, tmp_path, monkeypatch)


def test_verify_ends_well_and_states_the_window(audit: Commands) -> None:
    """Exit code 0; chain, checkpoints and open window in text and JSON."""
    done = audit("verify")
    assert done.exit_code == 0
    assert "14 entries in 2 chains; checkpoints: 3 stored, 3 exported" in done.stdout
    assert "open window: 0 entries" in done.stdout
    assert audit.json("verify", "--chain", COUNCIL, "--json")["links"] == 4


def test_verify_names_what_it_finds_and_ends_with_1(audit: Commands, tmp_path: Path) -> None:
    """Kind, chain and place; with keys and checkpoints that another organisation kept, too."""
    keys = tmp_path / "keys.json"
    keys.write_text(audit("keys", "--json").stdout)
    audit.chain.as_owner(f"delete from audit_entries where entry_id = '{entry(4).entry_id}'")
    done = audit("verify", "--keys", str(keys), "--checkpoints", str(audit.chain.directory))
    assert done.exit_code == 1
    assert f"FOUND missing at {HOSPITAL} 4: the entry is not there" in done.stdout
    found = json.loads(audit("verify", "--json").stdout)
    assert (found["ok"], found["findings"][0]["seq"]) == (False, 4)
    wrong = audit("verify", "--checkpoints", str(tmp_path / "none"))
    assert wrong.exit_code != 0


def test_without_an_export_verify_says_what_it_cannot_see(audit: Commands, tmp_path: Path) -> None:
    """A warning, since a cut tail would not be found."""
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "is not seen" in audit("verify", "--checkpoints", str(empty)).stdout


def test_search_pages_and_is_itself_recorded(audit: Commands) -> None:
    """By chain, actor, time and the rest; the reading stands in the chain `hub`."""
    page = audit.json("search", "--chain", HOSPITAL, "--limit", "4", "--json")
    assert [one["seq"] for one in page["entries"]] == [10, 9, 8, 7]
    rest = audit.json(
        "search", "--chain", HOSPITAL, "--limit", "4", "--after", page["next"], "--json"
    )
    assert [one["seq"] for one in rest["entries"]] == [6, 5, 4, 3]
    some = audit.json(
        *("search", "--actor", "user:1", "--flow", "flag-lookup", "--decision", "permit"),
        *("--since", "2026-03-10T12:00:02", "--until", "2026-03-10T12:00:05", "--json"),
    )
    assert {(one["chain"], one["seq"]) for one in some["entries"]} == {(HOSPITAL, 4), (COUNCIL, 4)}
    assert audit("search", "--after", "x").exit_code == 2
    assert "hub" in audit("search", "--chain", "hub", "--kind", "access").stdout
    (noted, *_) = audit.json("search", "--chain", "hub", "--json")["entries"]
    assert noted["actor"].startswith("cli:")


async def test_a_report_reads_the_number_from_input_alone(audit: Commands) -> None:
    """CSV, page and JSON; several numbers; every chain; the reason is recorded."""
    child = KEYS.person(NUMBER)
    await audit.chain.append(entry(50, person=child), entry(51, COUNCIL, person=child))
    await audit.chain.seal_all()
    done = audit("report", "--reason", "asked by the mother", text=f"{NUMBER}\n")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [one["told"] for one in rows] == [COUNCIL, HOSPITAL]
    again = audit.json("report", "--reason", "again", "--format", "json", text=f"{NUMBER}\n")
    own = again["disclosures"][0]
    assert (own["purpose"], own["reason"]) == ("subject-access", "asked by the mother")
    page = audit("report", "--reason", "x", "--format", "page", text=f"{NUMBER}\n")
    assert page.stdout.startswith("<!doctype html>")
    assert NUMBER not in page.stdout
    found = audit.json("search", "--person", "--json", text=f"{NUMBER}\n")
    assert len(found["entries"]) == 5
    assert audit("report", "--reason", "x", text="not a number\n").exit_code == 2
    assert audit("report", "--reason", "x", text="\n").exit_code == 2


def test_show_prints_an_entry_or_its_audit_event(audit: Commands) -> None:
    """By its id."""
    shown = audit.json("show", str(entry(3).entry_id))
    assert (shown["seq"], shown["actor"]) == (3, "user:0")
    AuditEvent.model_validate(audit.json("show", str(entry(3).entry_id), "--fhir"))
    assert audit("show", "00000000-0000-0000-0000-000000000000").exit_code == 1


def test_keys_and_checkpoints_are_handed_over(audit: Commands) -> None:
    """The public key, never the private one; the lines of one chain; a new key to sign with."""
    listed = audit.json("keys", "--json")
    assert listed == {
        "current": "test",
        "keys": {"test": KEY.public_key().public_bytes_raw().hex()},
    }
    assert len(audit("checkpoints", HOSPITAL).stdout.splitlines()) == 2
    new = audit("keys", "--new", "2027").stdout.splitlines()[-1]
    Ed25519PrivateKey.from_private_bytes(bytes.fromhex(new.split('"')[3]))


async def test_reviews_are_listed_and_closed(audit: Commands) -> None:
    """On behalf of a person of its organisation; without note or name, by who looked, of an unknown
    id or with an unknown outcome it is refused.
    """
    await audit.chain.append(entry(60, purpose="break-glass", actor_name="Anne Ward"))
    await audit.chain.seal_all()
    listed = audit.json("reviews", "list", "--json")["reviews"]
    (review,) = [one for one in listed if one["rule"] == "break-glass"]
    bare = ("reviews", "close", review["review_id"], "--outcome", "appropriate")
    whose = ("--for", HOSPITAL, "--by")
    assert audit(*bare, *whose, "The guardian").exit_code == 2
    assert audit(*bare, *whose, "The guardian", "--note", " ").exit_code == 2
    word = (*bare, "--note", "looked at the rota")
    for more in ((), ("--by", "The guardian"), ("--for", COUNCIL, "--by", "The guardian")):
        told = audit(*word, *more).exception
        assert isinstance(told, PermanentError)
        assert f"POST /reviews/accesses/{review['review_id']}" in told.message
    assert isinstance(audit(*word, *whose, "anne  ward").exception, ReviewRefused)
    done = audit(*word, *whose, "The guardian")
    assert (done.exit_code, done.stdout) == (0, "closed: appropriate\n")
    (noted, *_) = audit.json("search", "--chain", HOSPITAL, "--kind", "review", "--json")["entries"]
    assert (noted["actor_name"], noted["organisation"]) == ("The guardian", HOSPITAL)
    assert noted["detail"]["entered_by"] == "hub"
    assert audit("reviews", "close", review["review_id"], "--outcome", "fine").exit_code == 2
    unknown = "00000000-0000-0000-0000-000000000000"
    unknown_one = ("reviews", "close", unknown, "--outcome", "appropriate", "--note", "x")
    assert audit(*unknown_one, *whose, "The guardian").exit_code == 1


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "--chain"),
        ("search", "--chain"),
        ("report", "--reason", "x", "--chain"),
        ("checkpoints",),
    ],
)
def test_a_chain_that_there_is_not_is_no_chain_that_is_well(
    audit: Commands, command: tuple[str, ...]
) -> None:
    """Exit code 2, with the chains that there are; case counts."""
    done = audit(*command, HOSPITAL.lower(), text=f"{NUMBER}\n")
    assert done.exit_code == 2
    said = " ".join(done.output.replace("│", " ").split())
    assert f"no chain {HOSPITAL.lower()}; chains: {COUNCIL}, {HOSPITAL}" in said
    assert audit(*command, "hub", text=f"{NUMBER}\n").exit_code == 0


def test_a_chain_whose_entries_are_gone_is_still_looked_at(audit: Commands) -> None:
    """The export alone knows it; that is a finding, and no slip of the pen."""
    audit.chain.as_owner(
        f"delete from audit_entries where chain = '{COUNCIL}'",
        f"delete from audit_seals where chain = '{COUNCIL}'",
        f"delete from audit_checkpoints where chain = '{COUNCIL}'",
    )
    assert audit("verify", "--chain", COUNCIL).exit_code == 1
