"""What the scorers of all protocols share: pooling, scores of each image, what they refuse."""

import json

import numpy as np
import pytest

from eval import PROTOCOLS
from reference.protocols import box

CASES = [(name, variant) for name, protocol in PROTOCOLS.items() for variant in protocol.variants]
A, B, C = box(0, 0, 10, 10), box(20, 0, 30, 10), box(40, 0, 50, 10)


@pytest.fixture(params=CASES, ids="-".join)
def scorer(request):
    name, variant = request.param
    return PROTOCOLS[name].scorer(variant)


def test_scores_are_pooled_over_images_and_kept_for_each(scorer):
    scorer.update("a", [A, B], [A])
    scorer.update("b", [A, B, C], [A, B, C + 100, C + 200])
    summary = scorer.summary()
    assert (summary["protocol"], summary["variant"]) == (scorer.protocol, scorer.variant)
    assert (summary["ground_truth"], summary["predictions"], summary["true_positives"]) == (5, 5, 3)
    assert (summary["precision"], summary["recall"], summary["hmean"]) == (3 / 5, 3 / 5, pytest.approx(3 / 5))
    assert summary["images"] == 2
    a, b = summary["per_image"]["a"], summary["per_image"]["b"]
    assert (a["precision"], a["recall"], a["hmean"]) == (1, 0.5, pytest.approx(2 / 3))
    assert (b["precision"], b["recall"], b["hmean"]) == (0.5, 2 / 3, pytest.approx(4 / 7))
    json.dumps(summary, allow_nan=False)


def test_nothing_at_all_scores_0(scorer):
    empty = scorer.summary()
    assert (empty["precision"], empty["recall"], empty["hmean"], empty["per_image"]) == (0, 0, 0, {})
    scorer.update("nothing there, nothing found", [], [])
    scorer.update("nothing there", [], [A])
    assert scorer.summary()["hmean"] == 0
    assert scorer.summary()["per_image"]["nothing there, nothing found"]["hmean"] == 0


def test_text_without_detections_counts(scorer):
    scorer.update("found", [A], [A])
    scorer.update("missed", [A, B], [])
    summary = scorer.summary()
    assert (summary["recall"], summary["precision"], summary["images_without_result"]) == (1 / 3, 1, 0)


def test_an_image_without_result_file_counts_but_for_the_kkdnet_variant_of_ctw1500(scorer):
    scorer.update("found", [A], [A])
    scorer.update("no file", [A], None)
    left_out = (scorer.protocol, scorer.variant) == ("ctw1500", "kkdnet")
    summary = scorer.summary()
    assert (summary["recall"], summary["images"]) == ((1, 1) if left_out else (0.5, 2))
    assert summary["images_without_result"] == 1


@pytest.mark.parametrize("first", [[], None])
def test_an_image_given_twice_is_refused(scorer, first):
    scorer.update("1", [], first)
    for second in ([], None):
        with pytest.raises(ValueError, match="'1' was given twice"):
            scorer.update("1", [], second)


def test_flags_for_another_number_of_texts_are_refused(scorer):
    with pytest.raises(ValueError, match=r"'1': 2 ground truths, flags of shape \(1,\)"):
        scorer.update("1", [A, B], [], [True])
    assert scorer.summary()["images"] == 0


def test_an_unknown_variant_is_refused():
    for protocol in PROTOCOLS.values():
        with pytest.raises(ValueError, match=f"one of {', '.join(protocol.variants)}, got 'pan'"):
            protocol.scorer("pan")


def test_the_official_rule_is_the_default():
    for protocol in PROTOCOLS.values():
        assert protocol.variants[0] == "official" == protocol.scorer().variant


def test_predictions_may_be_one_array(scorer):
    scorer.update("1", np.stack([A, B]), np.stack([A, B]), np.zeros(2, bool))
    assert scorer.summary()["hmean"] == 1
