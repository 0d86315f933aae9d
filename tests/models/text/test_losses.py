"""The losses and their gradients against literal references in float64, on random and on degenerate maps."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from errors import InputError
from models import PANLoss, PSENetLoss, stream
from models.text.dice import dice_loss
from models.text.embedding import BACKGROUND_SAMPLES, EmbeddingLoss, draw_background
from models.text.iou import mean_iou
from models.text.ohem import ohem_mask
from reference import text_losses as reference

SIZE = 12


@pytest.fixture(scope="module", autouse=True, params=["CPU", "GPU"])
def branches(request):
    """Every test goes both ways, that of a GPU on a CPU, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "stalls", lambda tensor: request.param == "GPU")
        yield


SEEDS = st.integers(0, 10**6)
DTYPES = st.sampled_from([torch.uint8, torch.int64, torch.float32])


def maps(seed: int, text_share: float = 0.4, instances: int = 4, dtype: torch.dtype = torch.uint8):
    """Two images: random logits, and text, kernel, mask and instance maps that are consistent with each other."""
    rng, shape = torch.Generator().manual_seed(seed), (2, SIZE, SIZE)
    chosen, core, shown = (torch.rand(shape, generator=rng) < share for share in (text_share, 0.5, 0.8))
    labels = torch.randint(1, instances + 1, shape, generator=rng) * chosen
    text = labels > 0
    logits = 3 * torch.randn(2, 6, SIZE, SIZE, generator=rng)
    return logits, *(x.to(dtype) for x in (text, text & core, shown, labels))


def with_gradient(x: torch.Tensor) -> torch.Tensor:
    return x.detach().requires_grad_()


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]), st.booleans(), st.sampled_from([1e-40, 1, 1e37]), DTYPES)
def test_ohem_mask_equals_its_reference_exactly(seed, share, with_ties, scale, dtype):
    logits, text, _, mask, _ = maps(seed, share, dtype=dtype)
    score = scale * (logits[:, 0].round() if with_ties else logits[:, 0])
    expected = torch.stack([reference.ohem(*image) for image in zip(score, text, mask)])
    assert torch.equal(ohem_mask(score, text, mask), expected)


def test_ohem_counts_masked_negatives():
    # One positive; the three hardest negatives lie outside the training mask and use up the whole quota.
    score = torch.tensor([[[1.0, 9.0, 8.0, 7.0, 0.0, -1.0]]])
    text = torch.tensor([[[1, 0, 0, 0, 0, 0]]])
    mask = torch.tensor([[[1, 0, 0, 0, 1, 1]]])
    assert ohem_mask(score, text, mask).tolist() == [[[1, 0, 0, 0, 0, 0]]]


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.3, 1.0]), DTYPES)
def test_dice_and_iou_equal_their_references(seed, share, dtype):
    logits, text, _, mask, _ = maps(seed, share, dtype=dtype)
    ours, theirs = with_gradient(logits[:, 0]), with_gradient(logits[:, 0].double())
    found = dice_loss(ours, text, mask)
    expected = torch.stack([reference.dice(*image) for image in zip(theirs, text, mask)])
    found.sum().backward()
    expected.sum().backward()
    assert_close(found, expected.float(), atol=1e-5, rtol=0)
    assert_close(ours.grad, theirs.grad.float(), atol=1e-5, rtol=0)
    expected = sum(reference.iou(*image) for image in zip(logits[:, 0], text, mask)) / 2
    assert mean_iou(logits[:, 0], text, mask).item() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=150, deadline=None)
@given(SEEDS, st.sampled_from([1, 2]), st.sampled_from([0, 1, 2, 5]), st.sampled_from([0.02, 0.4, 0.9, 1.0]), DTYPES)
def test_embedding_loss_and_its_gradient_equal_the_reference(seed, version, instances, share, dtype):
    logits, _, kernel, mask, labels = maps(seed, share, max(instances, 1), dtype)
    check_embedding_loss(logits[:, 2:], labels * (instances > 0), kernel, mask, version, seed)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.sampled_from([1, 2]), st.sampled_from([1, 2, 5]))
def test_embedding_loss_has_the_references_gradient_where_distances_are_zero(seed, version, instances):
    # Pixels lie exactly at their mean, and means of instances and background pixels coincide.
    logits, _, kernel, mask, labels = maps(seed, instances=instances)
    of_label = logits[0, 0, 0, : instances + 1].sign()
    features = torch.stack([of_label[labels.long()], torch.ones(labels.shape)], dim=1)
    check_embedding_loss(features, labels, kernel, mask, version, seed)


def check_embedding_loss(features, labels, kernel, mask, version, seed):
    """Compares the value of each image and the gradient of a weighted sum; both see the same background pixels."""
    ours, theirs = with_gradient(features), with_gradient(features.double())
    torch.manual_seed(seed)
    found = EmbeddingLoss(version)(ours, labels, kernel, mask)
    torch.manual_seed(seed)
    drawn, valid = draw_background(labels.flatten(1), mask.flatten(1), BACKGROUND_SAMPLES if version == 2 else 0)
    backgrounds = [x.flatten(1)[:, index[real]] for x, index, real in zip(theirs, drawn, valid)]
    expected = torch.stack([reference.embedding(*image) for image in zip(theirs, labels, kernel, mask, backgrounds)])
    weights = torch.tensor([1.0, -0.5])
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    assert_close(found, expected.float(), atol=1e-5, rtol=0)
    assert_close(ours.grad, theirs.grad.float(), atol=1e-5, rtol=0)


@settings(max_examples=50, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 0.5, 0.99, 1.0]), st.sampled_from([0, 3, 100, 1000]))
def test_background_pixels_are_drawn_once_each_as_many_as_there_are(seed, share, number):
    _, _, _, mask, labels = (x.flatten(1) for x in maps(seed, share))
    torch.manual_seed(seed)
    for index, valid, background in zip(*draw_background(labels, mask, number), labels * mask == 0):
        chosen = index[valid]
        assert len(chosen) == len(chosen.unique()) == min(number, int(background.sum()))
        assert background[chosen].all()


def test_all_background_pixels_are_drawn_equally_often():
    labels = (torch.arange(40) % 8 < 3).long().expand(4000, 40)  # 25 pixels of background
    torch.manual_seed(0)
    drawn, _ = draw_background(labels, torch.ones_like(labels), 10)
    share = drawn.flatten().bincount(minlength=40) / 4000
    assert share[labels[0] == 0].numpy() == pytest.approx(10 / 25, abs=0.03)  # four standard deviations
    both = torch.zeros(4000, 40).scatter_(1, drawn, 1)
    pairs = both.T @ both / 4000
    assert pairs[0 + 3, 1 + 3].item() == pytest.approx(10 / 25 * 9 / 24, abs=0.03)  # neighbours, without replacement


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
    logits = with_gradient(logits)
    losses, _ = PANLoss(embedding_version=version)(logits, text, kernel[:, None], mask, labels)
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert torch.isfinite(logits.grad).all()


def test_pan_loss_weighs_and_averages_the_references():
    logits, text, kernel, mask, labels = maps(7, text_share=0.1)  # most of the background is not selected
    ours, theirs = with_gradient(logits), with_gradient(logits.double())
    losses, metrics = PANLoss()(ours, text, kernel[:, None], mask, labels)
    selected = [reference.ohem(*image) for image in zip(logits[:, 0], text, mask)]
    expected = {
        "text": average(reference.dice, theirs[:, 0], text, selected),
        "kernel": 0.5 * average(reference.dice, theirs[:, 1], kernel, text * mask),
        "embedding": 0.25 * average(reference.embedding, theirs[:, 2:], labels, kernel, mask),
    }
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(
        {k: v.item() for k, v in expected.items()}, abs=1e-5
    )
    assert metrics["iou_kernel"].item() == pytest.approx(
        average(reference.iou, logits[:, 1], kernel, text * mask), abs=1e-6
    )
    assert not metrics["iou_text"].requires_grad
    whole = reference.pan_loss(theirs, text, kernel[:, None], mask, labels)
    assert whole.item() == pytest.approx(sum(expected.values()).item())
    whole.backward()
    sum(losses.values()).backward()
    assert_close(ours.grad, theirs.grad.float(), atol=1e-5, rtol=0)


def average(loss, *arguments):
    return sum(loss(*image) for image in zip(*arguments)) / len(arguments[0])


def test_pan_loss_upsamples_logits_to_the_targets():
    logits, text, kernel, mask, labels = maps(11)
    small = logits[:, :, ::4, ::4].clone()
    large = torch.nn.functional.interpolate(small, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    targets = text, kernel[:, None], mask, labels
    assert PANLoss()(small, *targets)[0]["text"] == PANLoss()(large, *targets)[0]["text"]


def test_loss_without_embedding_has_no_embedding_term():
    logits, text, kernel, mask, labels = maps(1)
    losses, _ = PANLoss(embedding_weight=0)(logits, text, kernel[:, None], mask, labels)
    assert set(losses) == {"text", "kernel"}


def test_psenet_loss_weighs_and_averages_the_references():
    logits, text, kernel, mask, labels = maps(8, text_share=0.1)
    kernels = torch.stack([text, kernel, kernel.roll(1, dims=2) * kernel], dim=1)
    logits = torch.cat([logits, -logits], dim=1)[:, :4]
    losses, metrics = PSENetLoss()(logits, text, kernels, mask, labels)
    selected = [reference.ohem(*image) for image in zip(logits[:, 0], text, mask)]
    dice = [average(reference.dice, logits[:, 1 + k], kernels[:, k], text * mask) for k in range(3)]
    assert losses["text"].item() == pytest.approx(
        0.7 * average(reference.dice, logits[:, 0], text, selected).item(), abs=1e-5
    )
    assert losses["kernel"].item() == pytest.approx(0.3 * sum(dice).item() / 3, abs=1e-5)
    smallest = average(reference.iou, logits[:, 3], kernels[:, 2], text * mask)
    assert metrics["iou_kernel"].item() == pytest.approx(smallest, abs=1e-6)


def test_maps_that_do_not_fit_the_targets_are_refused():
    logits, text, kernel, mask, labels = maps(1)
    targets = text, torch.stack([kernel] * 6, dim=1), mask, labels
    with pytest.raises(InputError, match="6 output maps do not hold text, 6 kernel"):
        PANLoss()(logits, *targets)


def test_the_dense_term_is_of_all_pixels_that_are_not_ignored():
    """With logits at a quarter of the size of the labels, of text and of two kernels."""
    rng = torch.Generator().manual_seed(3)
    text, first, second, shown = (torch.rand(2, 16, 24, generator=rng) < share for share in (0.5, 0.4, 0.2, 0.9))
    shown[:, 4:, 4:] = True
    labels = [x.to(torch.uint8) for x in (text, text & first, text & second, shown, text)]
    kernels = torch.stack(labels[1:3], dim=1)
    logits = with_gradient(2 * torch.randn(2, 7, 4, 6, generator=rng))
    loss = PANLoss(dense_weight=0.25)
    losses, _ = loss(logits, labels[0], kernels, labels[3], labels[4])
    maps = torch.cat([labels[0][:, None], kernels], dim=1).numpy()
    targets = np.stack([[reference.area_mean(one) for one in image] for image in maps])
    mask = np.stack([reference.area_mean(one) == 1 for one in labels[3].numpy()])
    assert not mask.all() and mask[:, 1:, 1:].all()
    expected = 0.25 * sum(reference.soft_maps(logits.detach().numpy()[:, :3], targets, mask))
    assert losses["dense"].item() == pytest.approx(expected, rel=1e-5)
    losses["dense"].backward()
    assert not logits.grad[:, :3].permute(0, 2, 3, 1)[~torch.from_numpy(mask)].any()
    assert logits.grad[:, :3, 1:, 1:].all() and not logits.grad[:, 3:].any()
    without, _ = PANLoss()(logits, labels[0], kernels, labels[3], labels[4])
    assert "dense" not in without and all(torch.equal(losses[name], value) for name, value in without.items())
