"""Every kind of model from its own exporter through ``napari-relabel estimate`` to an estimate."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import init_bundle
from monai.networks.nets import UNet
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from napari_relabel.cli.app import app
from napari_relabel.models.unet import RelabelUNet, UNetConfig
from napari_relabel.review.folder import ReviewFolder

GRID = (32, 48)
ARGUMENTS = {
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "dropout": 0.3,
}
DECLARED = {"normalisation": {"scheme": "range", "low": 0, "high": 255}}


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data-home"))


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(1)
    net = UNet(**ARGUMENTS).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return net


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder, top in (("images", 256), ("masks", 2)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        voxels = rng.integers(0, top, GRID).astype(np.uint8)
        Image.fromarray(voxels).save(tmp_path / "data" / folder / "a.png")
    return tmp_path / "data"


def expected(network: UNet, dataset: Path) -> np.ndarray:
    x = np.asarray(Image.open(dataset / "images/a.png"), np.float32)[None, None] / 255
    with torch.inference_mode():
        return network(torch.from_numpy(x)).softmax(dim=1)[0].numpy()


def described(folder: Path, model: str, **more: object) -> str:
    file = folder / "model.json"
    file.write_text(json.dumps({"model": model, **DECLARED, **more}))
    return str(file)


def exported_in(exporter: Callable[[], object]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exporter()


def state_dict(folder: Path, net: UNet) -> str:
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, folder / "w.pth")
    return described(folder, "w.pth", architecture="UNet", arguments=ARGUMENTS)


def safetensors(folder: Path, net: UNet) -> str:
    save_file(net.state_dict(), folder / "w.safetensors")
    return described(folder, "w.safetensors", architecture="UNet", arguments=ARGUMENTS)


def scripted(folder: Path, net: UNet) -> str:
    exported_in(lambda: torch.jit.script(net).save(folder / "net.ts"))
    return described(folder, "net.ts")


def traced_with_softmax(folder: Path, net: UNet) -> str:
    whole = torch.nn.Sequential(net, torch.nn.Softmax(dim=1)).eval()
    exported_in(lambda: torch.jit.trace(whole, torch.zeros(1, 1, *GRID)).save(folder / "net.pt"))
    return described(folder, "net.pt", output="probabilities")


def exported(folder: Path, net: UNet) -> str:
    program = torch.export.export(net, (torch.zeros(1, 1, *GRID),))
    exported_in(lambda: torch.export.save(program, folder / "net.pt2"))
    return described(folder, "net.pt2")


def onnx(folder: Path, net: UNet) -> str:
    pytest.importorskip("onnxruntime", reason="needs pip install onnxruntime")
    pytest.importorskip("onnxscript", reason="torch.onnx writes with onnxscript")
    one = (torch.zeros(1, 1, *GRID),)
    exported_in(lambda: torch.onnx.export(net, one, folder / "net.onnx", verbose=False))
    return described(folder, "net.onnx")


def monai_bundle(folder: Path, net: UNet) -> str:
    init_bundle(str(folder / "bundle"), network=net)
    config = {
        "network_def": {"_target_": "UNet", **ARGUMENTS},
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {
                    "_target_": "ScaleIntensityRanged",
                    "keys": "image",
                    "a_min": 0,
                    "a_max": 255,
                    "b_min": 0,
                    "b_max": "$1.0 * 1",
                    "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
    }
    ConfigParser.export_config_file(config, str(folder / "bundle/configs/inference.json"))
    return str(folder / "bundle")


def python_function(folder: Path, net: UNet) -> str:
    torch.save(net.state_dict(), folder / "mine.pt")
    (folder / "mine.py").write_text(
        "from pathlib import Path\n"
        "import torch\n"
        "from monai.networks.nets import UNet\n"
        "def build():\n"
        f"    net = UNet(**{ARGUMENTS})\n"
        "    net.load_state_dict(torch.load(Path(__file__).with_name('mine.pt')))\n"
        "    return net.eval()\n"
    )
    return described(folder, "mine.py:build")


SAFE = [state_dict, safetensors, onnx]
UNSAFE = [scripted, traced_with_softmax, exported, monai_bundle, python_function]


def estimate(dataset: Path, review: Path, *models: str, code: int = 0, **options: str) -> Result:
    arguments = ["estimate", str(dataset), "--out", str(review), "--json"]
    for model in models:
        arguments += ["--model", model]
    for name, value in options.items():
        arguments += [f"--{name}", value] if value else [f"--{name}"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output + repr(result.exception)
    return result


def check_estimate(network: UNet, dataset: Path, review: Path, model: str) -> None:
    # An ensemble of a network and itself is what the network predicts.
    estimate(dataset, review, model, model, method="ensemble")
    made = ReviewFolder.open(review).load_estimate("a")
    assert made is not None and made.mean is not None
    np.testing.assert_allclose(made.mean, expected(network, dataset), atol=1e-5)


@pytest.mark.parametrize("export", SAFE)
def test_kinds_that_hold_no_code(
    tmp_path: Path, dataset: Path, network: UNet, export: Callable[[Path, UNet], str]
) -> None:
    check_estimate(network, dataset, tmp_path / "review", export(tmp_path, network))


@pytest.mark.parametrize("export", UNSAFE)
def test_kinds_that_run_code_ask_first(
    tmp_path: Path, dataset: Path, network: UNet, export: Callable[[Path, UNet], str]
) -> None:
    model = export(tmp_path, network)
    refused = estimate(dataset, tmp_path / "review", model, code=1, method="tta")
    assert "can run code of whoever made it" in refused.stderr
    assert "--trust" in refused.stderr
    estimate(dataset, tmp_path / "once", model, trust="", method="tta", samples="2")
    check_estimate(network, dataset, tmp_path / "review", model)


@pytest.mark.parametrize("export", [state_dict, scripted, monai_bundle])
def test_dropout_is_sampled_where_the_kind_keeps_it(
    tmp_path: Path, dataset: Path, network: UNet, export: Callable[[Path, UNet], str]
) -> None:
    model = export(tmp_path, network)
    estimate(dataset, tmp_path / "review", model, trust="", method="mcdo", samples="3")
    made = ReviewFolder.open(tmp_path / "review").load_estimate("a")
    assert made is not None
    assert made.uncertainty("epistemic").max() > 1e-3


def test_weights_of_a_basic_unet_say_nothing_but_themselves(tmp_path: Path, dataset: Path) -> None:
    torch.save(RelabelUNet(UNetConfig(2, 1, 2, 4)).state_dict(), tmp_path / "w.pt")
    flat = estimate(dataset, tmp_path / "review", str(tmp_path / "w.pt"), code=1)
    assert "two passes of this network" in flat.stdout
    model = described(tmp_path, "w.pt", dropout=0.4)
    estimate(dataset, tmp_path / "review", model, method="mcdo", samples="3")


def test_a_changed_file_asks_again_and_its_estimates_have_another_hash(
    tmp_path: Path, dataset: Path, network: UNet
) -> None:
    model = python_function(tmp_path, network)
    options = {"method": "tta", "samples": "2"}
    estimate(dataset, tmp_path / "one", model, trust="", **options)
    estimate(dataset, tmp_path / "two", model, **options)
    with (tmp_path / "mine.py").open("a") as file:
        file.write("# changed\n")
    refused = estimate(dataset, tmp_path / "three", model, code=1, **options)
    assert "has changed since you trusted it" in refused.stderr
    estimate(dataset, tmp_path / "three", model, trust="", **options)
    hashes = [
        ReviewFolder.open(tmp_path / name).load_estimate("a").model_hash  # type: ignore[union-attr]
        for name in ("one", "two", "three")
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_code_of_an_untrusted_function_is_not_run(tmp_path: Path, dataset: Path) -> None:
    (tmp_path / "bad.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        estimate(dataset, tmp_path / "review", "bad.py:build", code=1)
        assert not (tmp_path / "ran").exists()
        estimate(dataset, tmp_path / "review", "bad.py:build", code=1, trust="")
        assert (tmp_path / "ran").exists(), "the malicious file of this test does nothing"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "describes no model"),
        ({"model": "w.pth", "spacing": [1]}, "spacing is not known; known are model, arch"),
        ({"model": "w.pth", "normalisation": {"scheme": "magic"}}, "unknown normalisation"),
        ({"model": "w.pth", "normalisation": 3}, "model.json"),
        ({"model": "w.pth", "orientation": "RAA"}, "names three axes"),
        ({"model": "w.pth", "spacing_mm": [1, -1]}, "must be positive"),
        ({"model": "w.pth", "output": "labels"}, "output is one of logits, probabilities"),
        ({"model": "w.pth", "architecture": "Path"}, "MONAI has no network 'Path'"),
        ({"model": "w.pth", "architecture": "UNet"}, "UNet cannot be built from"),
        (
            {
                "model": "w.pth",
                "architecture": "UNet",
                "arguments": {**ARGUMENTS, "channels": [4, 16]},
            },
            "w.pth does not fit UNet",
        ),
        ({"model": "model.json"}, "describes a description"),
        ({"model": "none.pth"}, "none.pth does not exist"),
    ],
)
def test_descriptions_that_are_wrong_say_where(
    tmp_path: Path, dataset: Path, network: UNet, content: dict[str, object], words: str
) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pth")
    (tmp_path / "model.json").write_text(json.dumps(content))
    refused = estimate(dataset, tmp_path / "review", str(tmp_path / "model.json"), code=1)
    assert words in refused.stderr
    assert str(tmp_path) in refused.stderr
