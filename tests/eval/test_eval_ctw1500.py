"""CTW1500 scores: hand-computed cases, and agreement with a slow reference on another clipping library."""

import numpy as np
import pytest
from hypothesis import given, settings

from eval.ctw1500 import CTW1500
from reference.protocol_counts import ctw1500_counts
from reference.protocols import (
    POLYGON3,
    RATIONAL,
    assert_scores,
    box,
    polygon3_sets,
    polygon3_settings,
    rational_sets,
)
from reference.protocols import score as score_image

VARIANTS = ("official", "kkdnet")


def score(ground_truth, predictions, variant="official"):
    return score_image(CTW1500(variant), ground_truth, predictions)


def assert_agree(test_set, oracle):
    areas = [oracle.areas(image) for image in test_set]
    for variant in VARIANTS:
        expected = [ctw1500_counts(*of, variant, oracle) for of in zip(test_set, areas)]
        assert_scores(CTW1500(variant), test_set, expected)


@settings(polygon3_settings, max_examples=300)
@given(polygon3_sets)
def test_scores_agree_with_polygon3(test_set):
    assert_agree(test_set, POLYGON3)


@settings(max_examples=50, deadline=None)
@given(rational_sets)
def test_scores_agree_with_exact_arithmetic(test_set):
    assert_agree(test_set, RATIONAL)


def test_a_perfect_image():
    polygons = [box(0, 0, 10, 10), box(20, 0, 40, 10)]
    for variant in VARIANTS:
        summary = score(polygons, polygons, variant)
        assert (summary["precision"], summary["recall"], summary["hmean"]) == (1, 1, 1)


def test_an_iou_of_one_half():
    half = [box(0, 0, 10, 5)]
    assert score([box(0, 0, 10, 10)], half, "official")["true_positives"] == 0
    assert score([box(0, 0, 10, 10)], half, "kkdnet")["true_positives"] == 1


def test_two_predictions_of_one_text():
    twice = [box(0, 0, 10, 10), box(0, 0, 10, 9)]
    for variant in VARIANTS:
        summary = score([box(0, 0, 10, 10)], twice, variant)
        assert (summary["precision"], summary["recall"]) == (0.5, 1)
        assert summary["hmean"] == pytest.approx(2 / 3)


def test_one_prediction_over_two_coinciding_texts_uses_up_both_in_the_kkdnet_variant():
    ground_truth = [box(0, 0, 10, 10), box(0, 0, 10, 9)]
    predictions = [box(0, 0, 10, 10), box(0, 0, 10, 9)]
    assert score(ground_truth, predictions, "official")["true_positives"] == 2
    summary = score(ground_truth, predictions, "kkdnet")
    assert summary["true_positives"] == 1
    assert summary["recall"] == 0.5 and summary["precision"] == 0.5


def test_official_does_not_fall_back_to_the_second_best_text():
    ground_truth = [box(0, 0, 10, 10), box(0, 0, 10, 8)]
    predictions = [
        box(0, 0, 10, 10),
        box(0, 0, 10, 9.9),
    ]  # both overlap the first best, the second well enough
    assert score(ground_truth, predictions, "official")["true_positives"] == 1


def test_file_order_does_not_change_how_many_official_hits_there_are():
    ground_truth = [box(0, 0, 10, 10), box(30, 0, 40, 10)]
    predictions = [box(0, 0, 10, 6), box(0, 0, 10, 10), box(30, 0, 40, 9)]
    for order in (predictions, predictions[::-1]):
        assert score(ground_truth, order)["true_positives"] == 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_prediction_that_encloses_nothing_is_a_false_positive_and_such_a_text_is_missed(variant):
    line = np.array([[0, 0], [5, 5], [9, 9]])
    summary = score([box(0, 0, 10, 10)], [line, box(0, 0, 10, 10)], variant)
    assert (summary["predictions"], summary["true_positives"], summary["precision"]) == (2, 1, 0.5)
    summary = score([line, box(0, 0, 10, 10)], [line, box(0, 0, 10, 10)], variant)
    assert (summary["recall"], summary["precision"]) == (0.5, 0.5)


def test_a_self_crossing_prediction_is_repaired():
    bow_tie = np.array([[0, 0], [10, 10], [10, 0], [0, 10]])
    assert score([box(0, 0, 10, 10)], [bow_tie], "kkdnet")["true_positives"] == 1


def test_images_without_result_file():
    polygon = box(0, 0, 10, 10)
    expected = {"official": (2, 0.5, {"1", "2"}), "kkdnet": (1, 1.0, {"1"})}
    for variant, (ground_truth, recall, names) in expected.items():
        scorer = CTW1500(variant)
        scorer.update("1", [polygon], [polygon])
        scorer.update("2", [polygon], None)
        summary = scorer.summary()
        assert (summary["ground_truth"], summary["recall"], summary["precision"]) == (ground_truth, recall, 1)
        assert set(summary["per_image"]) == names
        assert summary["images"] == len(names) and summary["images_without_result"] == 1


def test_an_empty_result_file_counts_in_both_variants():
    for variant in VARIANTS:
        summary = score([box(0, 0, 10, 10)], [], variant)
        assert (summary["recall"], summary["precision"], summary["ground_truth"]) == (0, 0, 1)


def test_nothing_is_ignored():
    square = box(0, 0, 10, 10)
    flagged = score_image(CTW1500(), [square], [square], ignored=[True])
    assert flagged == score([square], [square])
