"""What a profile of a run is of."""

import json

import pytest


@pytest.mark.parametrize("epochs, batches", [(8, 10), pytest.param(5, 5, marks=pytest.mark.slow), (3, 0)])
def test_the_profile_is_of_batches_10_to_20(steps_of, tmp_path, capfd, epochs, batches):
    """Three batches an epoch: of a run that ends between both, what there is; of a shorter one, nothing, said so."""
    path = tmp_path / "profiles" / "trace.json"
    steps_of(f"train_cfg.epoch={epochs}", more=("--profile", path))
    assert path.is_file() == (batches > 0)
    if not batches:
        return
    events = json.loads(path.read_text())["traceEvents"]
    assert sum(event["name"] == "aten::native_batch_norm" for event in events) > 0
    assert sum(event["name"].startswith("Optimizer.step") for event in events) == batches
