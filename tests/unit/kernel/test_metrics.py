"""Metrics: typed names, declared labels, nothing about a person."""

from __future__ import annotations

import typing

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from halyard import metrics
from halyard.metrics import CounterName, GaugeName, HistogramName

COUNTERS: tuple[CounterName, ...] = typing.get_args(CounterName)
GAUGES: tuple[GaugeName, ...] = typing.get_args(GaugeName)
HISTOGRAMS: tuple[HistogramName, ...] = typing.get_args(HistogramName)
PERSONAL = {"person", "patient", "nhs_number", "event_id", "alert_id", "visit", "trace", "name"}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """An empty registry of the test's own."""
    made = CollectorRegistry()
    monkeypatch.setattr(metrics, "registry", made)
    monkeypatch.setattr(metrics, "_made", {})
    return made


def _labels(name: str) -> dict[str, str]:
    return dict.fromkeys(metrics._LABELS.get(name, ()), "one")


def test_every_metric_is_exposed_with_its_labels(registry: CollectorRegistry) -> None:
    """Each name can be used with the labels it declares, and stands in the text."""
    for counter in COUNTERS:
        metrics.count(counter, 1, **_labels(counter))
    for gauge in GAUGES:
        metrics.gauge(gauge, 2.0, **_labels(gauge))
    for histogram in HISTOGRAMS:
        metrics.observe(histogram, 0.02, **_labels(histogram))
    for name in (*COUNTERS, *GAUGES, *(f"{name}_count" for name in HISTOGRAMS)):
        labels = _labels(name.removesuffix("_count"))
        expected = 2.0 if name in GAUGES else 1.0
        assert registry.get_sample_value(name, labels) == expected, name
    text = generate_latest(registry).decode()
    assert 'halyard_stage_events_total{result="one",stage="one"} 1.0' in text


def test_names_follow_prometheus() -> None:
    """Our prefix, base units; counters end in _total, durations in _seconds."""
    for name in (*COUNTERS, *GAUGES, *HISTOGRAMS):
        assert name.startswith("halyard_")
        assert name.endswith("_total") == (name in COUNTERS)
    assert all(name.endswith("_seconds") for name in HISTOGRAMS)


def test_labels_are_declared_for_metrics_that_are_there() -> None:
    """No label of a metric that was renamed, and none that names a person or an id."""
    assert metrics._LABELS.keys() <= {*COUNTERS, *GAUGES, *HISTOGRAMS}
    for labels in metrics._LABELS.values():
        assert not PERSONAL & set(labels)


def test_a_wrong_label_is_an_error(registry: CollectorRegistry) -> None:
    """A label that was not declared cannot slip in."""
    with pytest.raises(ValueError, match="label"):
        metrics.count("halyard_upload_lines_total", person="9990000018")
    assert b"9990000018" not in generate_latest(registry)
