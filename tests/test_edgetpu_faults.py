"""Random faults of an Edge TPU, of every kind: results keep coming, each from the variant that it names, and nothing is left."""

from __future__ import annotations

import pytest

from benchmarks.edgetpu_faults import KINDS, campaign
from tests.edgetpu_delegate import compiler


@pytest.mark.slow
def test_faults_of_all_kinds_in_one_run() -> None:
    if compiler() is None:
        pytest.skip("there is no C compiler for the delegate in the place of libedgetpu: apt install gcc")
    rows = campaign(25, seed=7)
    assert not [row for row in rows if row.met is False]
    assert {row.what.strip() for row in rows} >= set(KINDS)
