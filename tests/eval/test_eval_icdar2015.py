"""ICDAR2015 scores: hand-computed cases, and agreement with a slow reference on another clipping library."""

import numpy as np
import pytest
from hypothesis import given, settings

from annotations import Instance
from eval.icdar2015 import GROUND_TRUTH, ICDAR2015
from reference.protocols import (
    POLYGON3,
    RATIONAL,
    assert_scores,
    box,
    polygon3_sets,
    polygon3_settings,
    rational_sets,
    score,
    slow_one_to_one_in_file_order,
)


def assert_agree(test_set, oracle):
    expected = [slow_one_to_one_in_file_order(image, oracle.areas(image), oracle) for image in test_set]
    assert_scores(ICDAR2015(), test_set, expected)


@settings(polygon3_settings, max_examples=300)
@given(polygon3_sets)
def test_scores_agree_with_polygon3(test_set):
    assert_agree(test_set, POLYGON3)


@settings(max_examples=50, deadline=None)
@given(rational_sets)
def test_scores_agree_with_exact_arithmetic(test_set):
    assert_agree(test_set, RATIONAL)


def check(ground_truth, predictions, recall, precision, ignored=None):
    summary = score(ICDAR2015(), ground_truth, predictions, ignored)
    assert (summary["recall"], summary["precision"]) == (recall, precision)


WORD = box(0, 0, 10, 10)


def test_an_iou_of_one_half_is_not_enough():
    check([WORD], [box(0, 0, 10, 5)], 0, 0)
    check([WORD], [box(0, 0, 10, 5.1)], 1, 1)


def test_a_word_takes_the_first_prediction_and_not_the_best():
    check([WORD], [box(0, 0, 10, 6), WORD], 1, 0.5)


def test_file_order_decides_what_is_left_for_the_next_word():
    low, high = box(0, 0, 10, 10), box(0, 4, 10, 14)
    # Of low the first has IoU 8/12 and the second 1; of high the first has 8/12 and the second 6/14.
    between, exact = box(0, 2, 10, 12), box(0, 0, 10, 10)
    check([low, high], [between, exact], 0.5, 0.5)
    check([low, high], [exact, between], 1, 1)


def test_a_prediction_over_two_words_finds_one():
    check([WORD, WORD], [WORD], 0.5, 1)
    check([WORD, WORD], [WORD, WORD], 1, 1)


def test_ignored_words_and_what_lies_in_them_leave_the_count():
    ignored = box(100, 0, 110, 10)
    check([WORD, ignored], [WORD, ignored], 1, 1, ignored=[False, True])
    check([WORD, ignored], [WORD, box(95, 0, 105, 10)], 1, 0.5, ignored=[False, True])  # one half is not more
    check([WORD, ignored], [WORD, box(95, 0, 105.1, 10)], 1, 1, ignored=[False, True])
    check([ignored], [], 0, 0, ignored=[True])


def test_a_prediction_in_an_ignored_region_finds_no_word_either():
    check([WORD, box(-50, -50, 50, 50)], [WORD], 0, 0, ignored=[False, True])


def test_an_ignored_word_uses_up_no_prediction():
    # IoU 40/60 with the ignored word, whose inside holds 0.4 of the prediction.
    text = box(0, 0, 100, 10)
    check([box(0, 0, 40, 10), text], [text], 1, 1, ignored=[True, False])


def test_several_ignored_words_do_not_add_up():
    halves = [box(0, 0, 4, 10), box(6, 0, 10, 10)]  # 0.4 of the prediction each
    check([*halves, box(50, 0, 60, 10)], [WORD], 0, 0, ignored=[True, True, False])


def test_what_encloses_nothing():
    line = np.array([[0, 0], [5, 0], [10, 0], [5, 0]])
    check([WORD], [line, WORD], 1, 0.5)
    check([WORD, line], [WORD], 0.5, 1)
    check([WORD, line], [WORD], 1, 1, ignored=[False, True])


@pytest.mark.parametrize(("transcription", "ignored"), [("###", True), ("", False), ("####", False), ("a, b", False)])
def test_what_is_ignored(transcription, ignored):
    assert GROUND_TRUTH.ignored(Instance(WORD, "", transcription)) == ignored
