"""Which feed a FHIR message belongs to."""

from __future__ import annotations

from dataclasses import replace

from stores.directory import Feed
from tests.unit.hl7v2.messages import directory


def test_a_feed_with_the_endpoint_comes_before_one_for_any() -> None:
    """Whatever their order in the directory; another organisation's is never taken."""
    general = Feed(source="any", organisation="RTEST", transport="fhir")
    special = Feed(source="pas", organisation="RTEST", transport="fhir", endpoint="urn:pas")
    mllp = Feed(source="adt", organisation="RTEST", facility="RTEST")
    for feeds in ((general, special, mllp), (mllp, special, general)):
        known = replace(directory(), feeds=feeds)
        assert known.fhir_feed("RTEST", "urn:pas") == special
        assert known.fhir_feed("RTEST", "urn:other") == general
        assert known.fhir_feed("RTEST", None) == general
        assert known.fhir_feed("RX902", "urn:pas") is None
    assert replace(directory(), feeds=(special,)).fhir_feed("RTEST", "urn:other") is None
