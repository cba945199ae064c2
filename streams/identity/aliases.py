"""Which of a hospital's patients an event is of by now: merges, followed to the last survivor.

Pure. A function of the merges alone, never of their order of arrival: of one retired patient the
merge recorded last holds; where merges go in a circle, the one recorded last says who stays. Where
more ids are linked than can be one patient's, each stands for itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from connectors.persons import shared_local_id
from stores.merges import Families, Merge
from streams.identity.evidence import Reported


class Aliases:
    """The merges that concern a batch."""

    def __init__(self, merges: Iterable[Merge] = ()) -> None:
        self._by_retired: dict[str, Merge] = {}
        self._families = Families()
        for merge in merges:
            self.add(merge)

    def __bool__(self) -> bool:
        return bool(self._by_retired)

    def add(self, merge: Merge) -> bool:
        """Know a merge; False if a later one of its retired patient is known already."""
        held = self._by_retired.get(merge.retired_key)
        if held is not None and held.order >= merge.order:
            return False
        self._by_retired[merge.retired_key] = merge
        if held is None:
            self._families.join(merge)
        else:  # it may have been the only link
            self._families = Families(self._by_retired.values())
        return True

    def crowded(self, key: str) -> bool:
        """Whether more ids are linked with `key` than can be one patient's."""
        return self._families.crowded(key)

    def patients(self, key: str) -> set[str]:
        """The source patients that are one with `key`'s by merges."""
        linked = self._families.of(self._by_retired.values(), [key])
        return {one for merge in linked for one in (merge.retired_patient, merge.surviving_patient)}

    def merges(self) -> list[Merge]:
        """What holds, one of each retired patient."""
        return list(self._by_retired.values())

    def joins(self, key: str) -> bool:
        """Whether `key` stands for another one too."""
        if self.crowded(key):
            return False
        return any(self.survivor(one) == key for one in self._by_retired if one != key)

    def last(self, key: str) -> Merge | None:
        """The merge whose survivor `key` is by now; None if it stands for itself."""
        if self.crowded(key):
            return None
        path: list[Merge] = []
        place: dict[str, int] = {}
        at = key
        while at not in place and (step := self._by_retired.get(at)) is not None:
            place[at] = len(path)
            path.append(step)
            at = step.surviving_key
        if not path:
            return None
        if at not in place:
            return path[-1]
        decides = max(path[place[at] :], key=lambda one: one.order)
        return None if decides.surviving_key == key else decides

    def path(self, key: str) -> list[Merge]:
        """The merges that lead from `key` to who stands for it, each once."""
        path: list[Merge] = []
        at, end = key, self.survivor(key)
        while at != end and len(path) < len(self._by_retired):
            path.append(self._by_retired[at])
            at = path[-1].surviving_key
        return path

    def survivor(self, key: str) -> str:
        """The key that stands for `key`."""
        last = self.last(key)
        return key if last is None else last.surviving_key

    def key_of(self, event: Reported) -> str:
        """The source patient under whom an event is decided."""
        last = self._of(event)
        return event.source_patient if last is None else last.surviving_key

    def patient_of(self, event: Reported) -> str:
        """The source patient whom an event's visit is of."""
        last = self._of(event)
        return event.source_patient if last is None else last.surviving_patient

    def _of(self, event: Reported) -> Merge | None:
        # A placeholder (UNKNOWN) is nobody's id: no merge gives its next bearer to a patient
        if not self._by_retired or (event.claim and shared_local_id(event.claim.local_id)):
            return None
        return self.last(event.source_patient)
