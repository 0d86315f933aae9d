"""Published checkpoints: literal references of the published networks, imported, give the same output maps."""

import pytest
import torch
from conftest import ROOT, run_script

from engine.experiment import load_experiment
from engine.training.checkpoint import load_detector
from errors import InputError
from models import build_detector
from models.text.published import own_key, translate
from models.weights import load_strict, read_weights
from reference.published_networks import PAN, KKDNet, PSENet, randomise

TOOL = "tools/import_checkpoint.py"
NARROW = dict(width=16, channels=16)
NETWORKS = {  # full size, with the config of the same network
    "PAN R18": (lambda: PAN(18), "config/pan/r18_ctw.py", []),
    "PAN R18, FPEM v2": (lambda: PAN(18, version=2), "config/pan/r18_ctw.py", ["model.neck.version=2"]),
    "KKD teacher R50": (
        lambda: KKDNet(50, student=False), "config/kkd/r50_ctw.py", ["model.neck.version=2"]
    ),
    "KKD student R18": (lambda: KKDNet(18, version=1), "config/kkd/r18_ctw.py", ["model.neck.version=1"]),
    "PSENet R50": (PSENet, "config/psenet/r50_ctw.py", []),
}  # fmt: skip


def narrow_kkd(**neck) -> dict:
    return dict(
        type="TextDetector",
        backbone=dict(type="ResNet", depth=18, width=16),
        neck=dict(type="FPEMNeck", channels=16, **{"shared": True, "version": 2, **neck}),
        transformer=dict(type="VisualTransformer", channels=16, tokens=4),
        adapter=dict(type="FeatureAdapter", channels=64),
        head=dict(type="PANHead", hidden=16),
    )


@pytest.fixture(scope="module")
def kkd():
    """A narrow KKDnet student and its state dict under the published names."""
    network = randomise(KKDNet(18, tokens=4, **NARROW))
    return network, network.state_dict()


@pytest.fixture
def narrow_config(tmp_path):
    def write(model=None):
        path = tmp_path / "narrow.py"
        base = (ROOT / "config/_base_/data/ctw1500.py").as_posix()
        path.write_text(f"_base_ = [{base!r}]\nmodel = {model or narrow_kkd()!r}\nloss = dict(type='PANLoss')\n")
        return path

    return write


def assert_same_maps(detector, network):
    """In float64, so that only a difference of the networks can show; and the maps do depend on the image."""
    detector, network = detector.double().eval(), network.double().eval()
    generator = torch.Generator().manual_seed(1)
    for size in ((64, 64), (96, 160)):
        images = torch.randn(1, 3, *size, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            found, expected = detector(images).logits, network(images)
        assert expected.std(dim=(0, 2, 3)).min() > 1e-2
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_imported_network_gives_the_maps_of_the_published_one(name, tmp_path):
    make, config, options = NETWORKS[name]
    network = randomise(make())
    source, target = tmp_path / "published.pth.tar", tmp_path / "new" / "own.pth.tar"
    torch.save({"epoch": 566, "iter": 0, "state_dict": torch.nn.DataParallel(network).state_dict()}, source)
    count = len(network.state_dict())
    output = run_script(TOOL, source, target, "--config", config, *(["--cfg-options", *options] if options else []))
    assert f"{count} of {count} tensors matched" in output and "mismatch" not in output and "unused" not in output
    assert ("model.neck.version=" in output) == ("PSENet" not in name)

    cfg = load_experiment(ROOT / config, options)
    detector, about = load_detector(cfg.model, target)
    assert about["epoch"] == 566 and about["config"] == cfg.config and about["metrics"] == {}
    assert "git_revision" in about
    assert_same_maps(detector, network)


@pytest.mark.parametrize(
    "form", ["bare", "module.", "no counters", "matrices", "1x1 convolutions", "float16", "old PyTorch"]
)
def test_forms_that_files_come_in(form, kkd, narrow_config, tmp_path):
    network, state = kkd
    if form == "module.":
        state = {f"module.{key}": value for key, value in state.items()}
    elif form == "no counters":
        state = {key: value for key, value in state.items() if "num_batches_tracked" not in key}
    elif form == "matrices":
        state = {key: value.squeeze(-1) if value.ndim == 3 else value for key, value in state.items()}
    elif form == "1x1 convolutions":
        state = {key: value[..., None] if value.ndim == 3 else value for key, value in state.items()}
    elif form == "float16":
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
        network = KKDNet(18, tokens=4, **NARROW)
        network.load_state_dict(state)
    source, target = tmp_path / "published.pth", tmp_path / "own.pth"
    torch.save(state, source, _use_new_zipfile_serialization=form != "old PyTorch")
    output = run_script(TOOL, source, target, "--config", narrow_config())
    assert f"{len(state)} of {len(state)} tensors matched" in output
    detector, _ = load_detector(narrow_kkd(), target)
    assert_same_maps(detector, network)
    counters = {int(v) for k, v in read_weights(target).items() if "num_batches_tracked" in k}
    assert counters == ({0} if form == "no counters" else {7})


@pytest.mark.parametrize("name", NETWORKS)
def test_every_name_has_exactly_one_counterpart(name):
    make, config, _ = NETWORKS[name]
    with torch.device("meta"):
        published = list(make().state_dict())
        own = list(build_detector(load_experiment(ROOT / config).model).state_dict())
    counterparts = [own_key(key) for key in published if "KKD" not in name or not key.startswith("fpem2.")]
    assert sorted(counterparts) == sorted(own)


@pytest.mark.parametrize(
    "key", ["backbone.fc.weight", "rec_head.rnn.weight", "det_head.conv3.weight", "fpem1.dwconv4_1.weight", "fc", ""]
)
def test_unknown_names_have_no_counterpart(key):
    assert own_key(key) is None


def test_every_key_that_does_not_match_is_reported(kkd, narrow_config, tmp_path):
    _, state = kkd
    state = dict(state)
    state["backbone.fc.weight"] = torch.zeros(10, 128)
    state["rec_head.emb.weight"] = torch.zeros(3)
    state["backbone.layer3.2.conv1.weight"] = torch.zeros(64, 64, 3, 3)
    state["det_head.conv2.weight"] = torch.zeros(7, 16, 1, 1)
    state["fpem2.dwconv4_2.weight"] = state["fpem2.dwconv4_2.weight"] + 1
    del state["projector.W_q.weight"], state["reduce_layer3.bn.running_var"]
    source, target = tmp_path / "published.pth", tmp_path / "own.pth"
    torch.save(state, source)
    target.write_text("an older file")
    output = run_script(TOOL, source, target, "--config", narrow_config(), code=2)
    *report, error = output.strip().splitlines()
    assert report == [
        f"{len(state) - 5} of {len(state)} tensors matched",
        "unused: backbone.fc.weight belongs to no detector of this project",
        "unused: rec_head.emb.weight belongs to no detector of this project",
        "mismatch: fpem2.dwconv4_2.weight differs from that of fpem1, and the config has model.neck.shared=True",
        "mismatch: det_head.conv2.weight is (7, 16, 1, 1), the config's model has (6, 16, 1, 1) (head.conv2.weight)",
        "mismatch: backbone.layer3.2.conv1.weight has no place in the config's model (backbone.layer3.2.conv1.weight)",
        "mismatch: neck.reduce.2.1.running_var was not found",
        "mismatch: transformer.projector.query.weight was not found",
    ]
    assert error.startswith(f"error: {source}: 5 mismatches") and "nothing is written" in error
    assert target.read_text() == "an older file"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["narrow.py", "own.pth", "published.pth"]


def test_classifier_and_recognition_head_are_reported_and_left_out(kkd, narrow_config, tmp_path):
    _, state = kkd
    source, target = tmp_path / "published.pth", tmp_path / "own.pth"
    torch.save({**state, "backbone.fc.weight": torch.zeros(10, 128), "rec_head.a.b": torch.zeros(1)}, source)
    output = run_script(TOOL, source, target, "--config", narrow_config())
    assert "unused: backbone.fc.weight" in output and "unused: rec_head.a.b" in output
    load_detector(narrow_kkd(), target)


def test_one_fpem_of_two_names_also_fills_two(kkd):
    network, state = kkd
    detector = build_detector(narrow_kkd(shared=False))
    translation = translate(state, detector.state_dict())
    assert not translation.problems and translation.matched == len(state)
    detector.load_state_dict(translation.state)
    assert_same_maps(detector, network)


def test_a_second_fpem_of_another_type_or_without_a_first_is_a_mismatch(kkd):
    own, (_, state) = build_detector(narrow_kkd()).state_dict(), kkd
    key = "fpem2.dwconv1_1.weight"
    assert [p.split()[0] for p in translate({**state, key: state[key].double()}, own).problems] == [key]
    alone = {k: v for k, v in state.items() if k != key.replace("2.", "1.", 1)}
    assert [p.split()[0] for p in translate(alone, own).problems] == [key, "neck.fpem1.up.0.0.weight"]


def test_two_different_fpems_do_not_fit_one(tmp_path):
    state = randomise(PAN(18, **NARROW)).state_dict()
    model = {key: value for key, value in narrow_kkd().items() if key not in ("transformer", "adapter")}
    translation = translate(state, build_detector(model).state_dict())
    assert {p.split()[0] for p in translation.problems} == {
        key for key in state if key.startswith("fpem2.") and not key.endswith("num_batches_tracked")
    }


@pytest.mark.parametrize("wrong", ["a part too few", "a part too many", "another width", "another network"])
def test_wrong_config_ends_in_one_line(wrong, kkd, narrow_config, tmp_path):
    model = narrow_kkd()
    if wrong == "a part too few":
        del model["transformer"]
    elif wrong == "a part too many":
        model["neck"]["shared"] = False
    elif wrong == "another width":
        model["head"]["hidden"] = 32
    else:
        model["neck"], model["head"] = dict(type="PSENetFPN", channels=16), dict(type="PSENetHead", hidden=16)
        del model["transformer"], model["adapter"]
    state = {k: v for k, v in kkd[1].items() if wrong != "a part too many" or not k.startswith("fpem2.")}
    source, target = tmp_path / "published.pth", tmp_path / "own.pth"
    torch.save(state, source)
    output = run_script(TOOL, source, target, "--config", narrow_config(model), code=2)
    assert "Traceback" not in output and not target.exists()
    last = output.strip().splitlines()[-1]
    assert last.startswith(f"error: {source}: ") and "use the config of the network that it holds" in last


def test_own_checkpoints_missing_files_and_missing_configs_are_named(narrow_config, tmp_path):
    own = tmp_path / "own.pth"
    torch.save({"state_dict": build_detector(narrow_kkd()).state_dict()}, own)
    target = tmp_path / "out.pth"
    for arguments, message in (
        ((own, target, "--config", narrow_config()), "is a checkpoint of this project already"),
        ((tmp_path / "none.pth", target, "--config", narrow_config()), "no such checkpoint"),
        ((own, target, "--config", tmp_path / "none.py"), "no such config file"),
    ):
        output = run_script(TOOL, *arguments, code=2)
        assert message in output and len(output.strip().splitlines()) == 1
    assert not target.exists()


def test_published_names_do_not_load_without_the_import(kkd):
    with pytest.raises(InputError, match="missing"):
        load_strict(build_detector(narrow_kkd()), kkd[1], "published.pth")


def test_a_key_with_and_without_prefix_and_the_file_itself_are_refused(tmp_path):
    source = tmp_path / "published.pth.tar"
    tensor = torch.zeros(1)
    torch.save({"state_dict": {"module.backbone.conv1.weight": tensor, "backbone.conv1.weight": tensor}}, source)
    command = ["tools/import_checkpoint.py", source, "--config", "config/pan/r18_ctw.py"]
    assert "holds backbone.conv1.weight twice" in run_script(*command, tmp_path / "ours.pth.tar", code=2)
    before = source.read_bytes()
    assert f"DST {source}: is {source}, which is read and would be lost" in run_script(*command, source, code=2)
    assert source.read_bytes() == before
