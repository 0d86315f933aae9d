"""Slow counts of CTW1500, MSRA-TD500 and DetEval for one image, one pair at a time, for tests of the protocols."""

from hypothesis import assume

from reference.protocols import ROUNDING, Expected


def ctw1500_counts(image, areas, variant, oracle):
    """CTW1500 counts by either rule, one pair at a time; nothing is ignored."""
    if image.predictions is None and variant == "kkdnet":
        return None
    ious, taken, true_positives = areas.ious(), set(), 0
    for d in range(len(areas.predictions)):
        column = [row[d] for row in ious]
        if variant == "official":
            best = max(range(len(column)), key=column.__getitem__, default=None)
            rivals = [v for g, v in enumerate(column) if g != best and v > 0.4]
            assume(oracle.ties or all(abs(v - column[best]) > ROUNDING for v in rivals))
            hit = {best} if best is not None and oracle.above(column[best], 0.5) and best not in taken else set()
        else:
            hit = {g for g, value in enumerate(column) if oracle.at_least(value, 0.5) and g not in taken}
        taken |= hit
        true_positives += bool(hit)
    return Expected(true_positives, len(image.ground_truth), true_positives, len(areas.predictions))


def msra_td500_counts(image, areas, min_iou, oracle):
    """MSRA-TD500 counts: a ground truth is found by any prediction of sufficient IoU, which may serve several."""
    found = missed = 0
    for row, difficult in zip(areas.ious(), image.ignored):
        for iou in row:
            if oracle.at_least(iou, min_iou):
                found += 1
                break
        else:
            missed += not difficult
    return Expected(found, found + missed, found, len(areas.predictions))


def deteval(image, areas, k, oracle):
    """DetEval as published, one pair at a time."""
    of_truths, of_predictions, shared = areas
    pairs = [(g, d) for g in range(len(of_truths)) for d in range(len(of_predictions))]
    sigma = {(g, d): shared[g][d] / of_truths[g] if of_truths[g] > 0 else 0.0 for g, d in pairs}
    tau = {(g, d): shared[g][d] / of_predictions[d] if of_predictions[d] > 0 else 0.0 for g, d in pairs}
    in_ignored = {d for g, d in pairs if image.ignored[g] and oracle.above(tau[g, d], 0.5)}
    truths = [g for g in range(len(of_truths)) if not image.ignored[g]]
    predictions = [d for d in range(len(of_predictions)) if d not in in_ignored]
    recall = precision = 0.0
    truths_matched, predictions_matched = set(), set()

    for g in truths:  # one to one
        covering = [d for d in predictions if oracle.above(sigma[g, d], 0.7)]
        lying_in = [d for d in predictions if oracle.above(tau[g, d], 0.6)]
        if len(covering) == 1 and len(lying_in) == 1:
            recall, precision = recall + 1, precision + 1
            truths_matched.add(g)
            predictions_matched.add(covering[0])

    for g in truths:  # one ground truth, many predictions
        if g in truths_matched or sum(sigma[g, d] > 0 for d in predictions) < 2:
            continue
        parts = [d for d in predictions if d not in predictions_matched and oracle.at_least(tau[g, d], 0.6)]
        if len(parts) == 1:
            matched = oracle.at_least(sigma[g, parts[0]], 0.7)
            recall, precision = recall + matched, precision + matched
        else:
            matched = oracle.at_least(sum(sigma[g, d] for d in parts), 0.7)
            recall, precision = recall + k * matched, precision + k * len(parts) * matched
        if matched:
            truths_matched.add(g)
            predictions_matched.update(parts)

    for d in predictions:  # one prediction, many ground truths
        if d in predictions_matched or sum(tau[g, d] > 0 for g in truths) < 2:
            continue
        parts = [g for g in truths if g not in truths_matched and oracle.at_least(sigma[g, d], 0.6)]
        if len(parts) == 1:
            matched = oracle.at_least(tau[parts[0], d], 0.6) and oracle.at_least(sigma[parts[0], d], 0.7)
            recall, precision = recall + matched, precision + matched
        else:
            matched = oracle.at_least(sum(tau[g, d] for g in parts), 0.6)
            recall, precision = recall + k * len(parts) * matched, precision + k * matched
        if matched:
            predictions_matched.add(d)
            truths_matched.update(parts)

    return Expected(recall, len(truths), precision, len(predictions))
