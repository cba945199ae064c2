"""Commands and processes are imported without looks for garbage, and run with them."""

from __future__ import annotations

import gc

import pytest

from halyard.cli.lazy import importing


def test_garbage_is_looked_for_again_after_an_import() -> None:
    """Also after one that fails."""
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_who_looks_for_none_is_left_so() -> None:
    """An import within another one ends nothing."""
    with importing():
        with importing():
            pass
        assert not gc.isenabled()
