"""The directory file: who is connected, and what is wrong with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from connectors.arrival import ARRIVING
from connectors.hl7v2.triggers import KINDS
from halyard.errors import ConfigurationError
from stores.arrival_rules import ARRIVAL_TRIGGERS, DEFAULT_RULE
from stores.directory import Directory, load_directory

TOKEN = "a-practice-token"
GOOD = f"""
[[hospital]]
ods = "RTEST"
name = "Test Hospital"
contact_endpoint = "contact"

[[authority]]
gss = "E09000001"
name = "Testborough"
alert_endpoint = "alerts"

[[endpoint]]
name = "alerts"
url = "http://127.0.0.1:1/webhook"
secret = "alerts"  # pragma: allowlist secret

[[endpoint]]
name = "contact"
url = "https://contact.test/webhook"
secret = "contact"

[[credential]]
organisation = "E09000001"
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"

[[feed]]
source = "rtest-ed"
organisation = "RTEST"
facility = "RTEST"
application = "EDIS"
peers = ["10.1.0.0/16", "2001:db8::/32"]

[[feed]]
source = "rtest-pas"
organisation = "RTEST"
facility = "RTEST"
"""


FEED_LINE = 'application = "EDIS"'


def _load(directory: Path, text: str) -> Directory:
    path = directory / "directory.toml"
    path.write_text(text)
    return load_directory(path)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    """The good one."""
    return _load(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("application", "facility", "address", "source"),
    [
        ("EDIS", "RTEST", "10.1.2.3", "rtest-ed"),
        ("EDIS", "RTEST", "::ffff:10.1.2.3", "rtest-ed"),
        ("EDIS", "RTEST", "2001:db8::7", "rtest-ed"),
        ("EDIS", "RTEST", "10.2.0.1", None),
        ("EDIS", "RTEST", "127.0.0.1", "rtest-pas"),
        ("PAS", "RTEST", "127.0.0.1", "rtest-pas"),
        ("PAS", "RTEST", "10.1.2.3", None),
        ("EDIS", "OTHER", "10.1.2.3", None),
        ("EDIS", "rtest", "10.1.2.3", None),
    ],
)
def test_a_feed_is_known_by_what_it_says_and_where_it_comes_from(
    directory: Directory, application: str, facility: str, address: str, source: str | None
) -> None:
    """MSH-3, MSH-4 and the peer's network must all fit; who names the application comes first."""
    feed = directory.feed_for(application, facility, address)
    assert (feed.source if feed else None) == source


def test_a_token_is_known_by_its_digest(directory: Directory) -> None:
    """The organisation of a token; none for a stranger's, an empty one, or the digest itself."""
    assert directory.organisation_of(TOKEN) == "E09000001"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    for wrong in ("", TOKEN + "x", digest):
        assert directory.organisation_of(wrong) is None


def test_a_code_is_shown_by_its_name(directory: Directory) -> None:
    """Hospitals and authorities; an unknown code stands for itself."""
    assert directory.name_of("RTEST") == "Test Hospital"
    assert directory.name_of("E09000001") == "Testborough"
    assert directory.name_of("RZZ") == "RZZ"


@pytest.mark.parametrize(
    ("old", "new", "entry", "rule"),
    [
        ('contact_endpoint = "contact"', 'contact_endpoint = "c"', "hospital RTEST", "endpoint c"),
        ('alert_endpoint = "alerts"', 'alert_endpoint = "a"', "authority E09000001", "endpoint a"),
        ('"RTEST"\nfacility', '"RZZ"\nfacility', "feed rtest-ed", "unknown hospital"),
        ('source = "rtest-pas"', 'source = "rtest-ed"', "two feeds", "same source"),
        ("10.1.0.0/16", "10.1.0.1/16", "feed rtest-ed", "peers"),
        ("10.1.0.0/16", "everywhere", "feed rtest-ed", "peers"),
        ('gss = "E09000001"', 'gss = "E0900 0001"', "authority.0.gss", "pattern"),
        ('ods = "RTEST"', 'odscode = "RTEST"', "hospital.0.ods", "Field required"),
        ('name = "Testborough"', 'name = "T"\nphone = "1"', "authority.0.phone", "not permitted"),
        ("http://127.0.0.1:1", "ftp://127.0.0.1", "endpoint.0.url", "pattern"),
        ("[[endpoint]]", "[[endpoints]]", "endpoints", "not permitted"),
        (FEED_LINE, 'fallback_charset = "klingon"', "feed.0.fallback_charset", "character set"),
        (FEED_LINE, 'fallback_charset = "rot13"', "feed.0.fallback_charset", "character set"),
        (FEED_LINE, 'fallback_charset = "utf-16"', "feed.0.fallback_charset", "character set"),
        (FEED_LINE, 'timezone = "Europe/Atlantis"', "feed.0.timezone", "time zone"),
        (FEED_LINE, 'timezone = "../etc"', "feed.0.timezone", "time zone"),
        (FEED_LINE, "relays_pds = true", "feed rtest-ed", "relays_pds"),
    ],
)
def test_an_error_names_entry_and_rule(
    tmp_path: Path, old: str, new: str, entry: str, rule: str
) -> None:
    """Who mends the file is told where to look."""
    assert old in GOOD
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, GOOD.replace(old, new))
    assert entry in caught.value.message
    assert rule in caught.value.message


def test_a_code_listed_twice_is_refused(tmp_path: Path) -> None:
    """Else the second hospital or authority would silently take the place of the first."""
    for entry, kind in (
        ('[[hospital]]\nods = "RTEST"\nname = "Again"', "hospitals"),
        ('[[authority]]\ngss = "E09000001"\nname = "Again"', "authorities"),
        ('[[endpoint]]\nname = "alerts"\nurl = "http://x"\nsecret = "x"', "endpoints"),
    ):
        with pytest.raises(ConfigurationError, match=f"{kind} listed twice"):
            _load(tmp_path, f"{GOOD}\n{entry}\n")


def test_a_missing_or_broken_file_says_what_to_do(tmp_path: Path) -> None:
    """The setting is named, or the line."""
    with pytest.raises(ConfigurationError, match="HALYARD_DIRECTORY_FILE"):
        load_directory(tmp_path / "absent.toml")
    with pytest.raises(ConfigurationError, match="not TOML"):
        _load(tmp_path, "[[hospital]\n")


RULES = """
[[arrival_rule]]
name = "paediatrics"

[[arrival_rule.arrive]]
name = "assessment-unit"
triggers = ["a04"]
departments = ["pau ", "CAU"]

[[arrival_rule.never]]
name = "booked"
admission_methods = ["11", "12", "13"]
"""


def test_a_feed_has_the_rule_it_names(tmp_path: Path) -> None:
    """The default without a name; codes are kept in capitals."""
    text = RULES + GOOD.replace('application = "EDIS"', 'arrival_rule = "paediatrics"')
    directory = _load(tmp_path, text)
    own, other = (directory.arrival_rule(feed) for feed in directory.feeds)
    assert (own.name, other) == ("paediatrics", DEFAULT_RULE)
    assert own.arrive[0].departments == ("PAU", "CAU")
    assert own.arrive[0].triggers == ("A04",)
    assert own.never[0].triggers == ("A01", "A04")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('name = "paediatrics"', 'name = "default"', None),
        ('name = "paediatrics"', 'name = "Paediatrics"', "arrival_rule.0.name"),
        ('"CAU"', '" "', "leave it out"),
        ("triggers =", "trigger =", "not permitted"),
        ("[[arrival_rule.arrive]]", "[[arrival_rule.never]]", "arrival_rule.0.arrive"),
    ],
)
def test_a_wrong_rule_says_where(tmp_path: Path, old: str, new: str, rule: str | None) -> None:
    """A misspelt condition would make more arrivals or none; a rule may replace the default."""
    text = RULES.replace(old, new, 1) + GOOD
    if rule is None:
        assert _load(tmp_path, text).arrival_rules["default"].arrive[0].name == "assessment-unit"
        return
    with pytest.raises(ConfigurationError) as caught:
        _load(tmp_path, text)
    assert rule in caught.value.message


def test_a_feed_that_names_no_rule_of_the_directory_is_refused(tmp_path: Path) -> None:
    """Else its messages would have nobody to decide them."""
    text = GOOD.replace('application = "EDIS"', 'arrival_rule = "none"')
    with pytest.raises(ConfigurationError, match="arrival rule none"):
        _load(tmp_path, text)


def test_observation_codes_are_the_hospitals(tmp_path: Path) -> None:
    """LOINC's by default; an empty list takes none."""
    text = GOOD.replace(
        'application = "EDIS"', 'acuity_codes = ["tri"]\nchief_complaint_codes = []'
    )
    own, other = _load(tmp_path, text).feeds
    assert (own.acuity_codes, own.chief_complaint_codes) == (("TRI",), ())
    assert (other.acuity_codes, other.chief_complaint_codes) == (
        ("11283-9",),
        ("8661-1", "10154-3"),
    )


SHA = "a" * 64


def test_a_certificate_of_the_feed_must_be_shown(tmp_path: Path) -> None:
    """Where the directory names certificates, the network alone is not enough."""
    text = GOOD.replace('application = "EDIS"', f'application = "EDIS"\ncertificates = ["{SHA}"]')
    directory = _load(tmp_path, text)
    assert directory.feed_for("EDIS", "RTEST", "10.1.2.3") is None
    assert directory.feed_for("EDIS", "RTEST", "10.1.2.3", "b" * 64) is None
    found = directory.feed_for("EDIS", "RTEST", "10.1.2.3", SHA)
    assert found is not None
    assert found.source == "rtest-ed"


def test_a_fhir_feed_is_known_by_its_organisation_and_endpoint(tmp_path: Path) -> None:
    """It needs no facility, and a listener of HL7 v2 never takes it for its own."""
    feed = '[[feed]]\nsource = "rtest-fhir"\norganisation = "RTEST"\ntransport = "fhir"\n'
    directory = _load(tmp_path, GOOD + feed + 'endpoint = "urn:ed"\n')
    assert directory.fhir_feed("RTEST", "urn:other") is None
    assert directory.fhir_feed("RZZ", "urn:ed") is None
    found = directory.fhir_feed("RTEST", "urn:ed")
    assert found is not None
    assert (found.source, found.relays_pds) == ("rtest-fhir", False)
    assert directory.feed_for("", "", "127.0.0.1") is None
    with pytest.raises(ConfigurationError, match="needs `facility`"):
        _load(tmp_path, GOOD.replace('facility = "RTEST"\napplication', "application"))


def test_an_endpoint_is_a_signed_webhook_or_an_hl7_listener(tmp_path: Path) -> None:
    """A webhook without a secret is refused; a hospital's listener needs none."""
    listener = '[[endpoint]]\nname = "epr"\nurl = "mllps://epr.test:2576"\n'
    directory = _load(tmp_path, GOOD + listener + 'receiving_application = "EPR"\n')
    assert directory.endpoints["epr"].mllp
    assert not directory.endpoints["alerts"].mllp
    with pytest.raises(ConfigurationError, match="needs `secret`"):
        _load(tmp_path, GOOD + listener.replace("mllps", "https"))


CERTIFIED = f'application = "EDIS"\ncertificates = ["{"a" * 64}"]'


def test_the_feed_that_names_the_application_comes_first(tmp_path: Path) -> None:
    """Wherever it stands in the file."""
    general, special = GOOD.rsplit("[[feed]]", 1)[1], FEED_LINE
    text = GOOD.rsplit("[[feed]]", 2)[0] + "[[feed]]" + general
    text += f'[[feed]]\nsource = "last"\norganisation = "RTEST"\nfacility = "RTEST"\n{special}\n'
    directory = _load(tmp_path, text)
    found = directory.feed_for("EDIS", "RTEST", "127.0.0.1"), directory.feed_named("EDIS", "RTEST")
    assert [feed.source if feed else None for feed in found] == ["last", "last"]
    other = directory.feed_named("PAS", "RTEST")
    assert other is not None
    assert other.source == "rtest-pas"
    assert directory.feed_named("EDIS", "OTHER") is None


def test_who_does_not_show_the_certificate_is_of_no_looser_feed(tmp_path: Path) -> None:
    """Else the certificates of a feed would be asked for in vain."""
    text = GOOD.replace(FEED_LINE, CERTIFIED).replace('"10.1.0.0/16"', '"127.0.0.0/8"')
    directory = _load(tmp_path, text)
    for shown in (None, "b" * 64):
        assert directory.feed_for("EDIS", "RTEST", "127.0.0.1", shown) is None
    found = directory.feed_for("EDIS", "RTEST", "127.0.0.1", "a" * 64)
    assert found is not None
    assert found.source == "rtest-ed"
    general = directory.feed_for("PAS", "RTEST", "127.0.0.1")
    assert general is not None
    assert general.source == "rtest-pas"


FEED = '[[feed]]\norganisation = "RTEST"\n'


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ('facility = "F"', 'facility = "F"', True),
        ('facility = "F"', 'facility = "G"', False),
        ('facility = "F"\napplication = "A"', 'facility = "F"', False),
        ('facility = "F"\npeers = ["10.0.0.0/8"]', 'facility = "F"\npeers = ["10.1.0.0/16"]', True),
        (
            'facility = "F"\npeers = ["10.0.0.0/16"]',
            'facility = "F"\npeers = ["10.1.0.0/16"]',
            False,
        ),
        ('facility = "F"\npeers = ["::1/128"]', 'facility = "F"\npeers = ["10.1.0.0/16"]', False),
        (f'facility = "F"\ncertificates = ["{"a" * 64}"]', 'facility = "F"', True),
        (
            f'facility = "F"\ncertificates = ["{"a" * 64}"]',
            f'facility = "F"\ncertificates = ["{"b" * 64}"]',
            False,
        ),
        (
            f'facility = "F"\ncertificates = ["{"a" * 64}", "{"b" * 64}"]',
            f'facility = "F"\ncertificates = ["{"b" * 64}"]',
            True,
        ),
        ('transport = "fhir"', 'transport = "fhir"', True),
        ('transport = "fhir"', 'transport = "fhir"\nendpoint = "e"', False),
        ('transport = "fhir"\nendpoint = "e"', 'transport = "fhir"\nendpoint = "e"', True),
        ('transport = "fhir"', 'facility = "F"', False),
    ],
)
def test_two_feeds_that_a_message_could_be_of_do_not_load(
    tmp_path: Path, one: str, other: str, clash: bool
) -> None:
    """Else the place in the file would say whose rule holds, and one feed would fall silent."""
    text = f'{GOOD}\n{FEED}source = "x1"\n{one}\n{FEED}source = "x2"\n{other}\n'
    if not clash:
        assert len(_load(tmp_path, text).feeds) == 4
        return
    with pytest.raises(ConfigurationError, match="feeds x1 and x2"):
        _load(tmp_path, text)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        *(
            ('"a04"', f'"{one}"', "can be an arrival")
            for one in ("A08", "AO4", "ADT^A04", "A4", "A28")
        ),
        *(
            ('departments = ["pau ", "CAU"]', f'classes = ["{one}"]', "write")
            for one in ("EMER", "imp", "AMB")
        ),
    ],
)
def test_a_clause_that_could_never_be_met_does_not_load(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    """It would silence a hospital: a slip in a trigger, a code of FHIR."""
    assert old in RULES
    with pytest.raises(ConfigurationError, match=told):
        _load(tmp_path, RULES.replace(old, new) + GOOD)


def test_the_triggers_that_may_be_named_are_those_that_can_arrive() -> None:
    """The directory's list and the connector's kinds are one."""
    assert set(ARRIVAL_TRIGGERS) == {name for name, kind in KINDS.items() if kind in ARRIVING}
