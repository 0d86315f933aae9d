"""The losses against literal float64 twins, on random and on degenerate maps."""

import loss_twins as twin
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import InputError
from models.loss import EmbeddingLoss, PANLoss, PSENetLoss, dice_loss, mean_iou, ohem_mask

SIZE = 12


def maps(seed: int, batch: int = 2, text_share: float = 0.4, instances: int = 4):
    """Random logits, text, mask, instance and kernel maps that are consistent with each other."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, instances + 1, (batch, SIZE, SIZE)) * (rng.random((batch, SIZE, SIZE)) < text_share)
    text = (labels > 0).astype(np.uint8)
    kernel = text * (rng.random(text.shape) < 0.5).astype(np.uint8)
    mask = (rng.random(text.shape) < 0.8).astype(np.uint8)
    logits = rng.normal(0, 3, (batch, 6, SIZE, SIZE)).astype(np.float32)
    return logits, text, kernel, mask, labels.astype(np.uint8)


def tensors(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(a) for a in arrays]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]), st.booleans())
def test_ohem_mask_equals_its_twin_exactly(seed, share, with_ties):
    logits, text, _, mask, _ = maps(seed, text_share=share)
    score = np.round(logits[:, 0]) if with_ties else logits[:, 0]
    found = ohem_mask(*tensors(score, text, mask)).numpy()
    for b in range(len(score)):
        assert np.array_equal(found[b], twin.ohem(score[b], text[b], mask[b]))


def test_ohem_counts_masked_negatives():
    # One positive; the three hardest negatives lie outside the training mask and use up the whole quota.
    score = torch.tensor([[[1.0, 9.0, 8.0, 7.0, 0.0, -1.0]]])
    text = torch.tensor([[[1, 0, 0, 0, 0, 0]]])
    mask = torch.tensor([[[1, 0, 0, 0, 1, 1]]])
    assert ohem_mask(score, text, mask).tolist() == [[[1, 0, 0, 0, 0, 0]]]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 1.0]))
def test_dice_and_iou_equal_their_twins(seed, share):
    logits, text, _, mask, _ = maps(seed, text_share=share)
    loss = dice_loss(*tensors(logits[:, 0], text, mask))
    metric = mean_iou(*tensors(logits[:, 0], text, mask))
    assert loss.tolist() == pytest.approx([twin.dice(*x) for x in zip(logits[:, 0], text, mask)], abs=1e-5)
    assert metric.item() == pytest.approx(np.mean([twin.iou(*x) for x in zip(logits[:, 0], text, mask)]), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 2, 5]), st.sampled_from([0.02, 0.4, 1.0]))
def test_embedding_loss_equals_its_twin(seed, instances, share):
    logits, _, kernel, mask, labels = maps(seed, text_share=share, instances=max(instances, 1))
    labels = labels * (instances > 0)
    found = EmbeddingLoss()(*tensors(logits[:, 2:], labels, kernel, mask))
    expected = [twin.embedding(*x) for x in zip(logits[:, 2:], labels, kernel, mask)]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5]), st.sampled_from([0.4, 0.9, 1.0]))
def test_embedding_loss_version_2_with_little_background(seed, instances, share):
    # With at most 100 background pixels all of them are drawn, and the loss is no longer random.
    logits, _, kernel, mask, labels = maps(seed, text_share=share, instances=instances)
    shown = (labels * mask) == 0
    if shown.reshape(2, -1).sum(1).max() > 100:
        mask[:] = 1
        labels[labels == 0] = 1
        labels[:, :2] = 0
    found = EmbeddingLoss(version=2)(*tensors(logits[:, 2:], labels, kernel, mask))
    for b in range(2):
        background = logits[b, 2:][:, (labels[b] * mask[b]) == 0]
        expected = twin.embedding(logits[b, 2:], labels[b], kernel[b], mask[b], background)
        assert found[b].item() == pytest.approx(expected, abs=1e-5)


def test_embedding_loss_version_2_draws_100_background_pixels():
    # All background pixels share one embedding, so whichever are drawn, the value is known.
    size = 40
    features = torch.zeros(1, 4, size, size)
    labels = torch.zeros(1, size, size, dtype=torch.uint8)
    labels[0, :4, :4], labels[0, 8:12, 8:12] = 1, 2
    features[0, 0, :4, :4], features[0, 1, 8:12, 8:12] = 2.0, 2.5
    features[0, 2][labels[0] == 0] = 1.0
    kernel, mask = (labels > 0).to(torch.uint8), torch.ones_like(labels)
    expected = twin.embedding(
        features[0].numpy(),
        labels[0].numpy(),
        kernel[0].numpy(),
        mask[0].numpy(),
        np.array([[0, 0, 1.0, 0]]).T,
    )
    assert EmbeddingLoss(version=2)(features, labels, kernel, mask).item() == pytest.approx(expected, abs=1e-6)


def test_embedding_gradient_matches_finite_differences():
    logits, _, kernel, mask, labels = maps(3, batch=1)
    features = torch.from_numpy(logits[:, 2:]).requires_grad_()
    EmbeddingLoss()(features, *tensors(labels, kernel, mask)).sum().backward()
    for at in [(0, 1, 2), (3, 5, 5), (2, 11, 0), (1, 7, 9)]:
        step = np.zeros_like(logits[0, 2:], dtype=np.float64)
        step[at] = 1e-5
        up, down = (
            twin.embedding(logits[0, 2:].astype(np.float64) + sign * step, labels[0], kernel[0], mask[0])
            for sign in (1, -1)
        )
        assert features.grad[0][at].item() == pytest.approx((up - down) / 2e-5, abs=1e-5)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("case", ["no text", "all masked", "all text", "text without kernel"])
def test_pan_loss_is_finite_with_finite_gradients_on_degenerate_images(case, version):
    logits, text, kernel, mask, labels = maps(0, text_share=1.0 if case == "all text" else 0.4)
    if case == "no text":
        text, kernel, labels = text * 0, kernel * 0, labels * 0
    elif case == "all masked":
        mask = mask * 0
    elif case == "text without kernel":
        kernel = kernel * 0
    logits = torch.from_numpy(logits).requires_grad_()
    losses, _ = PANLoss(embedding_version=version)(logits, *tensors(text, kernel[:, None], mask, labels))
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert torch.isfinite(logits.grad).all()


def test_pan_loss_weighs_and_averages_the_twins():
    logits, text, kernel, mask, labels = maps(7)
    losses, metrics = PANLoss()(*tensors(logits, text, kernel[:, None], mask, labels))
    images = range(len(logits))
    selected = [twin.ohem(logits[b, 0], text[b], mask[b]) for b in images]
    expected = {
        "text": np.mean([twin.dice(logits[b, 0], text[b], selected[b]) for b in images]),
        "kernel": 0.5 * np.mean([twin.dice(logits[b, 1], kernel[b], text[b] * mask[b]) for b in images]),
        "embedding": 0.25 * np.mean([twin.embedding(logits[b, 2:], labels[b], kernel[b], mask[b]) for b in images]),
    }
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, abs=1e-5)
    iou_kernel = np.mean([twin.iou(logits[b, 1], kernel[b], text[b] * mask[b]) for b in images])
    assert metrics["iou_kernel"].item() == pytest.approx(iou_kernel, abs=1e-6)
    assert not metrics["iou_text"].requires_grad


def test_pan_loss_upsamples_logits_to_the_targets():
    logits, text, kernel, mask, labels = maps(11)
    small = torch.from_numpy(logits[:, :, ::4, ::4].copy())
    large = torch.nn.functional.interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    targets = tensors(text, kernel[:, None], mask, labels)
    assert PANLoss()(small, *targets)[0]["text"] == PANLoss()(large, *targets)[0]["text"]


def test_loss_without_embedding_has_no_embedding_term():
    logits, text, kernel, mask, labels = maps(1)
    losses, _ = PANLoss(embedding_weight=0)(*tensors(logits, text, kernel[:, None], mask, labels))
    assert set(losses) == {"text", "kernel"}


def test_psenet_loss_weighs_and_averages_the_twins():
    logits, text, kernel, mask, labels = maps(8)
    kernels = np.stack([text, kernel, np.roll(kernel, 1, axis=2) * kernel], axis=1)
    logits = np.concatenate([logits, -logits], axis=1)[:, :4]
    losses, metrics = PSENetLoss()(*tensors(logits, text, kernels, mask, labels))
    images = range(len(logits))
    selected = [twin.ohem(logits[b, 0], text[b], mask[b]) for b in images]
    dice = [twin.dice(logits[b, 1 + k], kernels[b, k], text[b] * mask[b]) for b in images for k in range(3)]
    expected = {
        "text": 0.7 * np.mean([twin.dice(logits[b, 0], text[b], selected[b]) for b in images]),
        "kernel": 0.3 * np.mean(dice),
    }
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected, abs=1e-5)
    smallest = np.mean([twin.iou(logits[b, 3], kernels[b, 2], text[b] * mask[b]) for b in images])
    assert metrics["iou_kernel"].item() == pytest.approx(smallest, abs=1e-6)


def test_maps_that_do_not_fit_the_targets_are_refused():
    logits, text, kernel, mask, labels = maps(1)
    targets = tensors(text, np.stack([kernel] * 6, axis=1), mask, labels)
    with pytest.raises(InputError, match="6 output maps do not hold text, 6 kernel"):
        PANLoss()(torch.from_numpy(logits), *targets)
