"""Total-Text scores: every pass of DetEval by hand, and agreement with a slow reference on another clipping library."""

import numpy as np
import pytest
from hypothesis import given, settings

from annotations import Instance
from eval.total_text import GROUND_TRUTH, TotalText
from reference.protocol_counts import deteval
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

VARIANTS = ("official", "kkdnet", "iou")


def assert_agree(test_set, oracle):
    areas = [oracle.areas(image) for image in test_set]
    by_iou = [slow_one_to_one_in_file_order(*of, oracle) for of in zip(test_set, areas)]
    assert_scores(TotalText("iou"), test_set, by_iou)
    for variant, k in (("official", 0.8), ("kkdnet", 1.0)):
        assert_scores(TotalText(variant), test_set, [deteval(*of, k, oracle) for of in zip(test_set, areas)])


@settings(polygon3_settings, max_examples=400)
@given(polygon3_sets)
def test_scores_agree_with_polygon3(test_set):
    assert_agree(test_set, POLYGON3)


@settings(max_examples=50, deadline=None)
@given(rational_sets)
def test_scores_agree_with_exact_arithmetic(test_set):
    assert_agree(test_set, RATIONAL)


def stretch(x0, x1):
    """Of a line of text 10 pixels high: shares are those of its length."""
    return box(x0, 0, x1, 10)


def check(ground_truth, predictions, expected, ignored=None):
    """``expected``: (recall, precision) of the variants official, kkdnet and, where given, iou."""
    for variant, (recall, precision) in zip(VARIANTS, expected):
        summary = score(TotalText(variant), ground_truth, predictions, ignored)
        assert (summary["recall"], summary["precision"]) == (pytest.approx(recall), pytest.approx(precision)), variant


def test_one_to_one():
    check([stretch(0, 100)], [stretch(0, 100)], [(1, 1)] * 3)
    check([stretch(0, 100)], [stretch(0, 71)], [(1, 1)] * 3)  # sigma 0.71, tau 1
    check([stretch(0, 60.5)], [stretch(0, 100)], [(1, 1)] * 3)  # sigma 1, tau 0.605
    # Thresholds are not reached by equality: no second prediction or text touches, so that no later pass looks.
    check([stretch(0, 100)], [stretch(0, 70)], [(0, 0), (0, 0), (1, 1)])
    check([stretch(0, 60)], [stretch(0, 100)], [(0, 0), (0, 0), (1, 1)])


def test_a_text_split_into_two_predictions_counts_k():
    check([stretch(0, 100)], [stretch(0, 50), stretch(50, 100)], [(0.8, 0.8), (1, 1), (0, 0)])
    summary = score(TotalText(), [stretch(0, 100)], [stretch(0, 50), stretch(50, 100)])
    assert (summary["recall_credits"], summary["precision_credits"], summary["true_positives"]) == (0.8, 1.6, 0)


def test_the_parts_of_a_split_text_cover_seven_tenths_or_more_and_lie_in_it_by_six_tenths_or_more():
    text = [stretch(0, 100)]
    check(text, [stretch(0, 30), stretch(60, 100)], [(0.8, 0.8), (1, 1)])  # 0.3 + 0.4
    check(text, [stretch(0, 30), stretch(61, 100)], [(0, 0)] * 2)  # 0.3 + 0.39
    check(text, [stretch(0, 50), stretch(76, 116)], [(0.8, 0.8), (1, 1)])  # of the second 24 of 40 inside: tau 0.6
    check(text, [stretch(0, 50), stretch(77, 117)], [(0, 0)] * 2)  # 23 of 40: one part is left, which covers half


def test_two_predictions_of_the_whole_text_count_as_a_split():
    # Two sigma above 0.7 are not exactly one.
    check([stretch(0, 100)], [stretch(0, 100), stretch(0, 99)], [(0.8, 0.8), (1, 1), (1, 0.5)])


def test_texts_merged_into_one_prediction_count_k():
    check([stretch(0, 50), stretch(50, 100)], [stretch(0, 100)], [(0.8, 0.8), (1, 1), (0, 0)])
    summary = score(TotalText(), [stretch(0, 50), stretch(50, 100)], [stretch(0, 100)])
    assert (summary["recall_credits"], summary["precision_credits"], summary["true_positives"]) == (1.6, 0.8, 0)


def test_merged_texts_are_covered_by_six_tenths_each_and_fill_six_tenths_of_the_prediction():
    found, missed = [(0.8, 0.8), (1, 1)], [(0, 0)] * 2
    check([stretch(-20, 30), stretch(70, 100)], [stretch(0, 100)], found)  # sigma 0.6 and 1, tau 0.3 + 0.3
    check([stretch(-21, 30), stretch(70, 100)], [stretch(0, 100)], missed)  # sigma 0.59: the other fills 0.3
    check([stretch(0, 30), stretch(71, 100)], [stretch(0, 100)], missed)  # tau 0.3 + 0.29


def test_a_split_of_which_one_part_is_left_is_one_to_one():
    text, rest = stretch(0, 100), stretch(69, 129)  # rest: tau 31 / 60, below 0.6
    check([text], [stretch(0, 70), rest], [(1, 0.5)] * 2)  # sigma 0.7 is enough here
    check([text], [stretch(0, 69), rest], [(0, 0)] * 2)
    check([text], [stretch(0, 70)], [(0, 0)] * 2)  # two predictions must touch the text


def test_a_merge_of_which_one_text_is_left_is_one_to_one_and_must_be_covered_by_seven_tenths():
    check([stretch(0, 60), stretch(95, 195)], [stretch(0, 100)], [(0.5, 1)] * 2)  # tau 0.6 is enough here
    check([stretch(0, 60)], [stretch(0, 100)], [(0, 0)] * 2)  # two texts must be touched
    # sigma 39 / 60 = 0.65 suffices for being picked, not for being the only one
    check([stretch(0, 60), stretch(85, 185)], [stretch(21, 86)], [(0, 0)] * 2)


def test_the_row_alone_decides_what_is_one_to_one():
    # The one sigma above 0.7 is the first prediction's, the one tau above 0.6 the second's.
    large, small = box(0, 0, 100, 20), stretch(0, 30)
    check([stretch(0, 100)], [large, small], [(1, 0.5)] * 2)


def test_a_prediction_may_be_the_one_of_two_coinciding_texts_so_that_precision_passes_1():
    check([stretch(0, 100), stretch(0, 100)], [stretch(0, 100)], [(1, 2), (1, 2), (0.5, 1)])


def test_passes_take_only_what_is_left():
    # The first text takes the long prediction one to one; the second is split into what remains.
    texts = [stretch(0, 100), stretch(200, 300)]
    predictions = [stretch(0, 100), stretch(200, 250), stretch(250, 300)]
    check(texts, predictions, [(0.9, (1 + 2 * 0.8) / 3), (1, 1)])
    # A part that was matched one to one is no part any more: the long text is left with 0.5.
    check([stretch(0, 50), stretch(0, 100)], [stretch(0, 50), stretch(50, 100)], [(0.5, 0.5)] * 2)
    # Neither does a matched text count as one of those that a prediction merges.
    check([stretch(0, 50), stretch(50, 100)], [stretch(0, 50), stretch(0, 100)], [(0.5, 0.5)] * 2)


def test_texts_are_split_in_file_order():
    long, short = stretch(0, 100), stretch(0, 20)
    parts = [stretch(0, 10), stretch(10, 20), stretch(20, 100)]
    # The long one takes all parts; or the short one takes two and leaves it the third, one to one.
    check([long, short], parts, [(0.8 / 2, 3 * 0.8 / 3), (1 / 2, 1)])
    check([short, long], parts, [((0.8 + 1) / 2, (2 * 0.8 + 1) / 3), (1, 1)])


def test_ignored_text_and_what_lies_in_it_leave_the_count():
    text, ignored = stretch(0, 100), stretch(200, 300)
    check([text, ignored], [text, stretch(150, 251)], [(1, 1)] * 3, ignored=[False, True])  # 51 of 101 inside
    check([text, ignored], [text, stretch(150, 250)], [(1, 0.5)] * 3, ignored=[False, True])  # one half is not more
    # Two ignored regions with 0.4 of it each: more than half is in neither.
    regions = [stretch(0, 40), stretch(60, 100)]
    check([*regions, stretch(200, 300)], [stretch(0, 100)], [(0, 0)] * 3, ignored=[True, True, False])


def test_what_lies_in_ignored_text_is_no_part_and_touches_nothing():
    text, ignored = stretch(0, 100), stretch(60, 200)
    # The second prediction would be the second part.
    check([text, ignored], [stretch(0, 60), stretch(60, 100)], [(0, 0), (0, 0), (1, 1)], ignored=[False, True])


def test_everything_ignored():
    summary = score(TotalText(), [stretch(0, 100)], [stretch(0, 100)], [True])
    assert (summary["ground_truth"], summary["predictions"], summary["hmean"]) == (0, 0, 0)


def test_what_encloses_nothing():
    line, text = np.array([[0, 5], [50, 5], [100, 5]]), stretch(0, 100)
    check([text], [line, text], [(1, 0.5)] * 3)  # a false positive
    check([text, line], [text], [(0.5, 1)] * 3)  # a missed text
    check([text, line], [text], [(1, 1)] * 3, ignored=[False, True])
    check([text, line], [line, text], [(1, 0.5)] * 3, ignored=[False, True])  # in no ignored region


def test_ignored_is_what_either_field_says():
    def ignored(**fields):
        return GROUND_TRUTH.ignored(Instance(stretch(0, 1), "", **fields))

    assert ignored(orientation="#", transcription="word") and ignored(orientation="c", transcription="#")
    assert not ignored(orientation="c", transcription="#1") and not ignored(transcription="")
