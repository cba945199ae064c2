"""The catalogue of fields: whole, consistent, and the page is made of it."""

from __future__ import annotations

import re

from schemas.death_fields import (
    PAGE,
    REPORT_SECTIONS,
    UNLISTED,
    catalogue,
    groups,
    is_location,
    page,
)


def test_the_page_is_the_catalogue() -> None:
    """`python -m schemas.death_fields --write` was run after the last change."""
    assert PAGE.read_text("utf-8") == page()


def test_every_field_is_named_and_placed() -> None:
    """Names are slugs, those of a group begin with it, and each row says where the field lives."""
    text = page()
    for name, one in catalogue().items():
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", name), name
        assert (one.group is None) or name.startswith(f"{one.group}."), name
        assert one.label
        assert one.source
        assert f"| `{name}`: {one.label} |" in text
        assert f"`{name}`" in one.fhir
        assert not one.codes or one.type == "code", name
    assert not {name.partition(".")[0] for name in catalogue()} & {UNLISTED}
    assert not groups() & catalogue().keys()


def test_every_section_can_be_asked_for_and_has_fields() -> None:
    """Agencies are asked for sections by these names."""
    there = {one.section for one in catalogue().values() if one.form in ("report", "both")}
    assert set(REPORT_SECTIONS) <= there


def test_every_address_and_place_in_words_is_a_location() -> None:
    """Of a restricted child they are dropped; what is not in the catalogue may be one."""
    for name in (
        "child.address",
        "child.postcode",
        "child.residence-authority",
        "child.alternative-postcode",
        "child.alternative-residence-authority",
        "death.place-words",
        "death.authority",
        "relative.address",
        "unlisted.anything",
        "next-years.question",
    ):
        assert is_location(name), name
    assert not is_location("child.family")
    assert not is_location("death.place")


def test_what_the_published_lists_ask_is_there() -> None:
    """A field or code for each item of the notification form, the data-item table and the
    reporting form that could be found in public.
    """
    asked = [
        "referral.date",
        "referrer.name",
        "referrer.email",
        "referral.consultant",
        "referral.reference",
        "child.family",
        "child.given",
        "alias.family",
        "alias.given",
        "child.birth-date",
        "child.sex",
        "child.address",
        "child.postcode",
        "child.ethnicity",
        "child.nhs-number-absent",
        "alert.question",
        "relative.family",
        "relative.birth-date",
        "relative.sex",
        "relative.address",
        "relative.relationship",
        "relative.carer-at-death",
        "household-child.at-risk",
        "household-child.affected",
        "household-child.age",
        "death.date",
        "death.time",
        "death.place",
        "death.place-words",
        "death.event-place",
        "death.senior-practitioner-name",
        "death.senior-practitioner-contact",
        "death.certificate-issued",
        "death.cause-1a",
        "death.expected",
        "death.designated-doctor-confirmed",
        "death.post-mortem-required",
        "death.follow-up",
        "death.follow-up-with",
        "death.circumstances",
        "other-review.kind",
        "death.action-taken",
        "death.stillbirth-at-home-suspected",
        "professional.role",
        "professional.name",
        "professional.phone",
        "child.local-id",
        "child.gestation-weeks",
        "child.birth-weight-grams",
        "referrer.role",
        "death.coroner-informed",
        "death.registrar-informed",
        "death.police-informed",
        "death.joint-agency-response-required",
        "death.cause-1b",
        "death.cause-1c",
        "death.cause-1d",
        "death.cause-2",
        "death.key-worker-name",
        "child.known-to-social-care",
        "tracking.system",
        "tracking.value",
        "child.chi",
        "registration.district",
        "registration.year",
        "registration.entry",
        "alias.kind",
        "child.alternative-postcode",
        "child.residence-country",
        "child.residence-area",
        "child.birth-country",
        "child.time-in-country",
        "child.traveller",
        "child.unaccompanied-asylum-seeker",
        "child.asylum-seeking-family",
        "child.homeless",
        "child.looked-after",
        "child.protection-register",
        "death.registering-person",
        "death.certifying-doctor",
        "referrer.job-title",
        "referrer.address",
        "referrer.phone",
        "referrer.completed-on",
        "death.type",
        "report.agency",
        "report.author-name",
        "report.address",
        "report.phone",
        "report.email",
        "report.summary",
        "report.circumstances",
        "report.mode-of-death",
        "report.resuscitation",
        "event.kind",
        "report.issues",
        "report.child-factors",
        "report.family-factors",
        "report.environment-factors",
        "report.service-factors",
        "report.poverty",
        "report.barrier-chargeable-care",
        "report.barrier-language",
        "report.barrier-financial",
        "report.maternal-bmi",
        "report.gravidity",
        "report.parity",
        "report.height-cm",
        "report.weight-kg",
        "report.bereavement-support-offered",
        "report.bereavement-support",
        "report.neonatal-herpes",
        "social-care.protection-plan",
        "social-care.protection-category",
        "social-care.statutory-order",
        "social-care.looked-after",
        "social-care.child-in-need",
        "social-care.asylum-seeker",
        "social-care.social-worker",
        "social-care.source-authority",
        "supplementary.form",
        "supplementary.stage",
    ]
    assert [name for name in asked if name not in catalogue()] == []
    roles = catalogue()["professional.role"].codes
    for role in ("general-practitioner", "midwife", "health-visitor", "school-nurse", "school"):
        assert role in roles
    forms = catalogue()["supplementary.form"].codes
    assert {"asthma-and-anaphylaxis", "drowning", "sudden-unexpected-death"} <= set(forms)
    assert len(catalogue()["death.place"].codes) == 15
    assert len(catalogue()["report.mode-of-death"].codes) == 5
