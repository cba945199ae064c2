"""Half a minute of fuzzing in every run, and everything that ever broke something again."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import corpus, run
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import TARGETS, Broke, Target, crash_rule
from tests.fuzz.trial import Trial, built_in


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_kept_breaks_anything(name: str) -> None:
    """Seeds, regressions and the corpus: each input holds every rule of its target."""
    trial = Trial(TARGETS[name])
    inputs = corpus.load(name)
    for data in inputs:
        trial.one(data)
    assert not trial.findings, sorted(trial.findings)
    assert trial.executions == len(inputs) > 0


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("seconds", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_seconds_of_changed_inputs_break_nothing(name: str, seconds: int) -> None:
    """The sibling of `make fuzz`: no crash, no hang, bounded memory, every rule of the target."""
    result = built_in(TARGETS[name], seconds=seconds, executions=1_000_000)
    assert not result.findings, sorted(result.findings)
    assert result.executions > 20  # seeds, then changes; how many more is the machine's


def test_a_parser_that_breaks_is_found() -> None:
    """A planted error, a planted lie and a planted hang: each is a finding with its smallest input,
    named by rule or place, never by what the input said.
    """

    def planted(data: bytes) -> None:
        if b"!" in data:
            raise KeyError(data)
        if b"?" in data:
            raise Broke("planted.lie")
        while b"#" in data:
            pass

    target = Target("planted", planted, (b"!", b"?"))
    trial = Trial(target)
    for data in (b"fine", b"long and wrong!", b"!", b"what?"):
        trial.one(data)
    assert trial.findings["planted.lie"] == b"what?"
    [crash] = [rule for rule in trial.findings if rule != "planted.lie"]
    assert crash.startswith("KeyError at ")
    assert trial.findings[crash] == b"!"


def test_the_corpus_is_the_same_whatever_the_order(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept inputs are written once each, smallest first, and the file does not depend on order."""
    monkeypatch.setattr(corpus, "HERE", tmp_path)
    assert corpus.keep("other", [b"bb", b"a", b"bb", b"x" * 10_000]) == 2
    first = (corpus.HERE / "corpus" / "other.zip").read_bytes()
    corpus.keep("other", [b"a", b"bb"])
    assert (corpus.HERE / "corpus" / "other.zip").read_bytes() == first
    assert sorted(corpus.kept("other")) == [b"a", b"bb"]


def test_changed_inputs_are_bounded_and_repeatable() -> None:
    """The same seed gives the same inputs, none longer than the limit."""

    def drawn() -> list[bytes]:
        chance = random.Random(7)
        return [mutated(chance, [b"some input", b""], [b"token"], 16) for _ in range(200)]

    assert drawn() == drawn()
    assert max(map(len, drawn())) <= 16


def test_the_table_names_what_broke(capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints a line for each parser, and 0 where nothing broke."""
    code = run.main(["--target", "mllp", "--seconds", "1", "--engine", "built-in", "--no-keep"])
    printed = capsys.readouterr().out
    assert code == 0
    assert "| mllp | built-in |" in printed
    assert "none |" in printed


def test_a_finding_is_named_by_its_place() -> None:
    """Where an exception came from, without its text."""
    with pytest.raises(ValueError) as caught:
        int("not a number of a person")
    assert crash_rule(caught.value).startswith("ValueError at ")
    assert "person" not in crash_rule(caught.value)
