"""The storm of benchmarks.network_storm, shorter."""

from __future__ import annotations

import pytest

from benchmarks.network_storm import storm


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_storm_of_network_faults_costs_no_result() -> None:
    rows = storm(150, seed=3, parts=2)
    assert [row for row in rows if row.met is False] == []
    assert sum(row.met is True for row in rows) >= 6
