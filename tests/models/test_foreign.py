"""Networks that people bring, in every form that is supported."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from model_networks import LayerDropout, unet
from monai.networks.nets import BasicUNet, UNet
from safetensors.torch import save_file
from torch import nn

from napari_relabel.io.errors import InputError
from napari_relabel.models.api import estimate, load_trusted, load_weights
from napari_relabel.models.preprocess import Normalisation, WorkingGrid

IMAGE = np.random.default_rng(0).normal(size=(32, 48)).astype(np.float32)
X = torch.from_numpy(IMAGE)[None, None]


def monai_unet() -> BasicUNet:
    torch.manual_seed(0)
    return BasicUNet(2, 1, 3, (4, 4, 8, 16, 32, 4), norm="batch").eval()


@pytest.mark.parametrize("form", ["state_dict", "nested", "safetensors"])
def test_weights_of_monais_unet(tmp_path: Path, form: str) -> None:
    theirs = monai_unet()
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(theirs.state_dict(), path)
    else:
        state = theirs.state_dict()
        torch.save({"state_dict": state, "epoch": 3} if form == "nested" else state, path)
    model = load_weights(path, dropout=0.3, normalisation=Normalisation("range", -3, 3))
    assert model.name == "w"
    with torch.inference_mode():
        torch.testing.assert_close(model.module(X), theirs(X))
    result = estimate(IMAGE, model, n_samples=3)
    assert result.n_classes == 3
    assert result.uncertainty("epistemic").max() > 0
    with pytest.raises(ValueError, match="identical"):
        estimate(IMAGE, load_weights(path), n_samples=3)


def test_normalisation_and_working_grid_of_a_foreign_model_are_applied(tmp_path: Path) -> None:
    torch.save(unet().state_dict(), tmp_path / "w.pt")
    normalisation = Normalisation("fixed", mean=(2.0,), std=(4.0,))
    working = WorkingGrid(size=(16, 32))
    model = load_weights(tmp_path / "w.pt", normalisation=normalisation, working=working)
    result = estimate(IMAGE, model, method="tta", n_samples=2)
    other = load_weights(tmp_path / "w.pt", working=working)
    scaled = estimate((IMAGE - 2) / 4, other, method="tta", n_samples=2)
    np.testing.assert_allclose(result.mean, scaled.mean, atol=1e-4)
    assert result.extra["patch"] == "16x32"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (UNet(2, 1, 2, channels=(4, 8), strides=(2,)), "architecture that is not known"),
        (BasicUNet(2, 1, 2, (4, 8, 8, 16, 32, 4), norm="batch"), "architecture that is not known"),
        (BasicUNet(2, 1, 2, (5, 5, 10, 20, 40, 5), norm="batch"), "architecture that is not known"),
        (BasicUNet(2, 1, 2, (4, 4, 8, 16, 32, 4)), "architecture that is not known"),
        (nn.Identity(), "holds no state_dict"),
    ],
)
def test_other_weights_are_refused(tmp_path: Path, network: nn.Module, message: str) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pt")
    with pytest.raises(InputError, match=message):
        load_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv_0.conv_0.conv.weight", (0, 1, 3, 3)),
        ("conv_0.conv_0.conv.weight", (4, 0, 3, 3)),
        ("conv_0.conv_0.conv.weight", (4, 1, 3, 3, 3)),
        ("final_conv.weight", (0, 4, 1, 1)),
        ("final_conv.weight", ()),
    ],
)
def test_weights_of_impossible_shapes_are_refused(
    tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    net = BasicUNet(2, 1, 2, (4, 4, 8, 16, 32, 4), norm="batch")
    torch.save({**net.state_dict(), name: torch.zeros(shape)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt holds weights of an architecture"):
        load_weights(tmp_path / "a.pt")


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(InputError, match=r"w\.safetensors is no safetensors file"):
        load_weights(tmp_path / "w.safetensors")


class Proof:
    """Unpickling an instance writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_weights_never_run_code(tmp_path: Path) -> None:
    torch.save({**monai_unet().state_dict(), "x": Proof(tmp_path / "ran")}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="holds code"):
        load_weights(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Proof(tmp_path / "ran")))
    assert (tmp_path / "ran").exists(), "the malicious object of this test does nothing"


@pytest.mark.parametrize("name", ["net.pt", "net.ts"])
def test_torchscript(tmp_path: Path, name: str) -> None:
    net = LayerDropout(out_channels=2).train()
    torch.jit.script(net).save(tmp_path / name)
    model = load_trusted(tmp_path / name)
    assert model.name == "net"
    with torch.inference_mode():
        torch.testing.assert_close(model.module(X), net.eval()(X))
    assert estimate(IMAGE, model, n_samples=3).uncertainty("epistemic").max() > 0


def test_exported_program(tmp_path: Path) -> None:
    net = unet(dropout=0.0)
    torch.export.save(torch.export.export(net, (X,)), tmp_path / "net.pt2")
    model = load_trusted(tmp_path / "net.pt2")
    result = estimate(IMAGE, [model, unet(seed=3)], method="ensemble")
    with torch.inference_mode():
        expected = torch.sigmoid(torch.cat([net(X), unet(seed=3)(X)])).mean(dim=0)[0]
    np.testing.assert_allclose(result.mean[1], expected.numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="identical"):
        estimate(IMAGE, model)
    # It was exported for one size: windows of that size cover any other, smaller and larger.
    for image in (IMAGE[:20], np.tile(IMAGE, (2, 1))):
        result = estimate(image, model, method="tta", n_samples=8)
        assert result.shape == image.shape
        assert result.extra["patch"] == "32x48"
    with torch.inference_mode():
        inside = torch.sigmoid(net(torch.from_numpy(IMAGE)[None, None]))[0, 0].numpy()
    plain = estimate(IMAGE, [model, load_trusted(tmp_path / "net.pt2")], method="ensemble")
    np.testing.assert_allclose(plain.mean[1], inside, atol=1e-5)


def test_python_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_networks.py").write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.Dropout())\n"
        "def count():\n    return 3\n"
        "def fails():\n    raise KeyError('weights')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = load_trusted("my_networks:build")
    assert model.name == "build"
    assert estimate(IMAGE, model, n_samples=3).n_classes == 2
    with pytest.raises(InputError, match="gives int, a torch module is needed"):
        load_trusted("my_networks:count")
    for source in ("my_networks:fails", "my_networks:nothing"):
        with pytest.raises(InputError, match=f"{source} cannot be loaded"):
            load_trusted(source)
    with pytest.raises(InputError, match="there is no Python module no_such_module"):
        load_trusted("no_such_module:build")


def bundle(folder: Path, network: nn.Module) -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    definition = {
        "_target_": "UNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [4, 8],
        "strides": [2],
        "dropout": 0.3,
    }
    config = {"network_def": definition, "device": "cpu"}
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def test_monai_bundle(tmp_path: Path) -> None:
    net = UNet(2, 1, 2, channels=(4, 8), strides=(2,), dropout=0.3).eval()
    model = load_trusted(bundle(tmp_path / "spleen", net))
    assert model.name == "spleen"
    with torch.inference_mode():
        torch.testing.assert_close(model.module(X), net(X))
    assert estimate(IMAGE, model, n_samples=3).uncertainty("epistemic").max() > 0


def test_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no model\.pt"):
        load_trusted(tmp_path)
    folder = bundle(tmp_path / "b", nn.Conv2d(1, 1, 1))
    with pytest.raises(InputError, match="b cannot be loaded"):
        load_trusted(folder)
    (folder / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"model\.pt does not exist"):
        load_trusted(folder)
    (folder / "configs" / "inference.json").unlink()
    with pytest.raises(InputError, match=r"no configs/inference\.json"):
        load_trusted(folder)


@pytest.mark.parametrize("source", ["nothing.pt", "a b:c", "os.path", "x:1"])
def test_source_that_is_nothing(source: str) -> None:
    with pytest.raises(InputError, match="does not exist: give a file or folder"):
        load_trusted(source)


def test_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "net.h5").write_bytes(b"1")
    with pytest.raises(InputError, match=r"its suffix is none of \.json, \.onnx, \.pt,"):
        load_trusted(tmp_path / "net.h5")
    (tmp_path / "net.pt").write_bytes(b"1")
    with pytest.raises(InputError, match="is not a torch file"):
        load_trusted(tmp_path / "net.pt")


def test_onnx_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "n.onnx").write_bytes(b"1")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs onnxruntime.*napari-relabel\[onnx\]"):
        load_trusted(tmp_path / "n.onnx")


def test_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX networks need onnxruntime")
    onnx = pytest.importorskip("onnx", reason="the test writes its ONNX file with onnx")
    shape = ["batch", 1, "height", "width"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Neg", ["x"], ["y"])],
        "negative",
        [onnx.helper.make_tensor_value_info("x", 1, shape)],
        [onnx.helper.make_tensor_value_info("y", 1, shape)],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "n.onnx")
    model = load_trusted(tmp_path / "n.onnx")
    result = estimate(IMAGE, model, method="tta", n_samples=2)
    assert result.shape == IMAGE.shape
    np.testing.assert_allclose(model.module(X), -X)
    assert len(result.model_hash) == 64
    with pytest.raises(ValueError, match="identical"):
        estimate(IMAGE, model)
