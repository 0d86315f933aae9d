"""MSRA-TD500 scores: hand-computed cases, and agreement with a slow reference on another clipping library."""

import numpy as np
import pytest
from hypothesis import given, settings

from eval.msra_td500 import MSRATD500
from reference.protocol_counts import msra_td500_counts
from reference.protocols import (
    POLYGON3,
    RATIONAL,
    assert_scores,
    box,
    polygon3_sets,
    polygon3_settings,
    rational_sets,
    score,
)


def assert_agree(test_set, oracle):
    areas = [oracle.areas(image) for image in test_set]
    for variant, min_iou in (("official", 0.5), ("kkdnet", 0.45)):
        expected = [msra_td500_counts(*of, min_iou, oracle) for of in zip(test_set, areas)]
        assert_scores(MSRATD500(variant), test_set, expected)


@settings(polygon3_settings, max_examples=300)
@given(polygon3_sets)
def test_scores_agree_with_polygon3(test_set):
    assert_agree(test_set, POLYGON3)


@settings(max_examples=50, deadline=None)
@given(rational_sets)
def test_scores_agree_with_exact_arithmetic(test_set):
    assert_agree(test_set, RATIONAL)


def check(ground_truth, predictions, recall, precision, difficult=None, variant="official"):
    summary = score(MSRATD500(variant), ground_truth, predictions, difficult)
    assert (summary["recall"], summary["precision"]) == (recall, precision)


LINE, OTHER = box(0, 0, 100, 10), box(0, 50, 100, 60)


@pytest.mark.parametrize(("covered", "official", "kkdnet"), [(50, 1, 1), (49, 0, 1), (45, 0, 1), (44, 0, 0)], ids=str)
def test_how_much_overlap_is_enough(covered, official, kkdnet):
    check([LINE], [box(0, 0, covered, 10)], official, official)
    check([LINE], [box(0, 0, covered, 10)], kkdnet, kkdnet, variant="kkdnet")


def test_a_difficult_line_counts_when_found_and_is_left_out_when_not():
    check([LINE, OTHER], [LINE, OTHER], 1, 1, difficult=[False, True])
    check([LINE, OTHER], [LINE], 1, 1, difficult=[False, True])
    check([LINE, OTHER], [OTHER], 0.5, 1, difficult=[False, True])  # of the two that count one is found
    check([LINE, OTHER], [], 0, 0, difficult=[False, True])
    summary = score(MSRATD500(), [LINE, OTHER], [LINE], [False, True])
    assert (summary["ground_truth"], summary["predictions"], summary["true_positives"]) == (1, 1, 1)


def test_a_prediction_on_a_difficult_line_that_does_not_find_it_is_false():
    check([LINE, OTHER], [LINE, box(0, 50, 40, 60)], 1, 0.5, difficult=[False, True])


def test_a_prediction_may_find_several_lines_so_that_precision_passes_1():
    check([LINE, LINE + 1], [LINE], 1, 2)


def test_a_second_prediction_of_a_line_is_false():
    check([LINE], [LINE, LINE], 1, 0.5)


def test_what_encloses_nothing():
    degenerate = np.array([[0, 0], [50, 0], [100, 0], [50, 0]])
    check([LINE], [degenerate, LINE], 1, 0.5)
    check([LINE, degenerate], [LINE], 0.5, 1)
    check([LINE, degenerate], [LINE], 1, 1, difficult=[False, True])
