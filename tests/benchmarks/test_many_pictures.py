"""The measurement of predict.py on many pictures, in miniature."""

import re

import pytest
from conftest import run_process
from exported_networks import needs_packages


@needs_packages
@pytest.mark.slow
def test_rates_and_memory_of_each_number_of_workers():
    rows = re.findall(
        r"^\| (\d) \| ([\d.]+) \| (.*) \|$", run_process("benchmarks/many_pictures.py", "--pictures", 300), re.M
    )
    assert [row[0] for row in rows] == ["1", "2"] and all(float(row[1]) > 0 for row in rows)
    for _, _, memory in rows:
        values = [int(value) for value in memory.split(" | ")]
        assert len(values) == 4 and min(values) > 50 and max(values) < 1.2 * values[0]
