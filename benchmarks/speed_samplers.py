"""Rows 1 to 6: drawing stochastic predictions, against plain loops and other packages."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from monai.networks.nets.basic_unet import BasicUNet
from speed_timing import Paired, Work, in_turn
from torch import nn

from napari_relabel.core.estimate import Estimate
from napari_relabel.models.api import estimate
from napari_relabel.models.augment import augmentations
from napari_relabel.models.device import device_of, true_float32
from napari_relabel.models.dropout import MaskSource, replace_dropout
from napari_relabel.models.fast import at_once
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.fused import keep_fused
from napari_relabel.models.options import Precision
from napari_relabel.models.precision import native_bfloat16
from napari_relabel.models.unet import RelabelUNet, UNetConfig

N = 20
#: Those that the processor is fast at.
PRECISIONS: tuple[tuple[Precision, str], ...] = (("float32", "float32"), ("auto", "bfloat16"))[
    : 1 + native_bfloat16()
]
#: Row 5: voxels a side of the volume and of its windows, and passes.
SIDE, WINDOW, PASSES = 192, 96, 10
Maps = dict[str, np.ndarray]
Sampling = Callable[[Precision], Estimate]


def network(out_channels: int = 2, dims: int = 2, seed: int = 0) -> RelabelUNet:
    """The product's default network with batch norms that do something."""
    torch.manual_seed(seed)
    net = RelabelUNet(UNetConfig(dims, 1, out_channels))
    _shake(net)
    return net.eval()


def everywhere() -> BasicUNet:
    """MONAI's BasicUNet with its dropout after every convolution."""
    torch.manual_seed(0)
    net = BasicUNet(2, 1, 2, (16, 16, 32, 64, 128, 16), norm="batch", dropout=0.2)
    _shake(net)
    return net.eval()


def dropout_2d(row: int, size: int, net: nn.Module, targets: Sequence[float]) -> Iterator[Paired]:
    """Monte Carlo dropout on a picture against a loop of N passes, stacked."""
    image = _picture(size)
    what = "default U-Net" if isinstance(net, RelabelUNet) else "dropout after every block"
    for (precision, name), target in zip(PRECISIONS, targets, strict=False):

        def ours(precision: Precision = precision) -> Estimate:
            return estimate(image, _as_model(net), n_samples=N, precision=precision)

        checked = (
            _difference(ours(), same_masks(net, image)) if precision == "float32" else _bf16(ours())
        )
        times = in_turn(ours, lambda: plain_dropout(net, image))
        yield Paired(
            row,
            f"MC dropout, N = {N}, {size}x{size}, {what}, {name}",
            "loop of N passes, stacked, numpy",
            *times,
            target,
            checked,
        )


def beside_seggnosis(size: int = 256, net: RelabelUNet | None = None) -> tuple[Sampling, Work]:
    """The same network sampled by us, in a precision, and wrapped by seggnosis."""
    import seggnosis

    net = net or network()
    image = _picture(size)
    x = torch.from_numpy(image)[None]
    wrapped = seggnosis.wrap(
        copy.deepcopy(net), method="mc_dropout", n_samples=N, uncertainty="variance"
    )

    def ours(precision: Precision) -> Estimate:
        return estimate(image, _as_model(net), n_samples=N, precision=precision)

    return ours, lambda: wrapped.predict(x)


def against_seggnosis() -> Iterator[Paired]:
    """Row 3: the same network wrapped by seggnosis."""
    ours, peer = beside_seggnosis()
    for (precision, name), target in zip(PRECISIONS, (3.5, 7.0), strict=False):
        found = ours(precision)
        checked = (
            _difference(found, same_masks(network(), _picture()))
            if precision == "float32"
            else _bf16(found)
        )
        yield Paired(
            3,
            f"MC dropout, N = {N}, 256x256, default U-Net, {name}",
            "seggnosis 0.2.1",
            *in_turn(lambda p=precision: ours(p), peer),
            target,
            checked,
        )


def augmentation(device: str = "cpu") -> Iterator[Paired]:
    """Row 4: all 72 changed images, against a loop over them."""
    net = network().to(device)
    image = _picture()
    changes = augmentations(2)

    def ours() -> Estimate:
        return estimate(image, _as_model(net), method="tta", n_samples=len(changes))

    def peer() -> Maps:
        x = _input(image, net)
        with torch.no_grad():
            samples = [c.invert(net(c.apply(x))[0].softmax(0), image.shape) for c in changes]
        return moments(np.stack([s.cpu().numpy() for s in samples]))

    times = in_turn(ours, peer, rounds=5)
    what = f"test-time augmentation, {len(changes)} transforms, 256x256, float32"
    yield Paired(
        4,
        what,
        "loop over the same transforms, stacked, numpy",
        *times,
        2.0,
        _difference(ours(), peer()),
    )


def beside_monai(
    device: str = "cpu", side: int = SIDE, net: RelabelUNet | None = None
) -> tuple[Sampling, Callable[[], Maps]]:
    """A volume in overlapping windows sampled by us, in a precision, and by N whole passes."""
    net = (net or network(dims=3)).to(device)
    image = np.random.default_rng(0).normal(size=(side,) * 3).astype(np.float32)
    inferer = SlidingWindowInferer((WINDOW,) * 3, sw_batch_size=1, overlap=0.5, mode="gaussian")

    def peer() -> Maps:
        x = _input(image, net)
        with torch.no_grad(), _dropout_active(net):
            samples = [inferer(x, net)[0].softmax(0).cpu().numpy() for _ in range(PASSES)]
        return moments(np.stack(samples))

    def ours(precision: Precision) -> Estimate:
        return estimate(
            image, _as_model(net), n_samples=PASSES, patch=(WINDOW,) * 3, precision=precision
        )

    return ours, peer


def volume(device: str = "cpu") -> Iterator[Paired]:
    """Row 5: a volume in overlapping windows, against N whole passes of MONAI's inferer."""
    ours, peer = beside_monai(device)
    found: dict[str, Estimate] = {}
    theirs: Maps = {}

    def keep(precision: Precision, name: str) -> Work:
        return lambda: found.update({name: ours(precision)})

    *times, peers = in_turn(
        *(keep(*one) for one in PRECISIONS), lambda: theirs.update(peer()), rounds=2, warm=False
    )
    for (_, name), seconds, target in zip(PRECISIONS, times, (2.5, 5.0), strict=False):
        off = np.abs(found[name].probabilities - theirs["mean"]).mean()
        epistemic = found[name].uncertainty("epistemic").mean() / theirs["epistemic"].mean()
        if name == "bfloat16":
            _bf16(found[name])
        yield Paired(
            5,
            f"MC dropout, N = {PASSES}, {SIDE}^3, windows {WINDOW}^3, overlap 0.5, default U-Net, "
            f"{name}",
            "MONAI SlidingWindowInferer N times, numpy",
            seconds,
            peers,
            target,
            f"mean difference of p_mean {off:.1e} (other masks); epistemic part {epistemic:.2f} "
            f"times the peer's, which averages independent masks where windows overlap",
        )


def ensemble(size: int, device: str = "cpu") -> Iterator[Paired]:
    """Row 6: five networks, against five plain passes."""
    nets = [network(seed=i).to(device) for i in range(5)]
    image = _picture(size)

    def peer() -> Maps:
        x = _input(image, nets[0])
        with torch.no_grad():
            return moments(np.stack([net(x)[0].softmax(0).cpu().numpy() for net in nets]))

    for (precision, name), target in zip(PRECISIONS, (1.2, 2.0), strict=False):

        def ours(precision: Precision = precision) -> Estimate:
            models = [_as_model(net) for net in nets]
            return estimate(image, models, method="ensemble", precision=precision)

        times = in_turn(ours, peer)
        checked = _difference(ours(), peer()) if precision == "float32" else _bf16(ours())
        yield Paired(
            6,
            f"ensemble of 5, {size}x{size}, {name}",
            "five passes, stacked, numpy",
            *times,
            target,
            checked,
        )


def plain_dropout(net: nn.Module, image: np.ndarray) -> Maps:
    """N passes with nn.Dropout, stacked, then the formulas of Kwon et al. in numpy."""
    x = _input(image, net)
    with torch.no_grad(), _dropout_active(net):
        samples = [net(x)[0].softmax(0).cpu().numpy() for _ in range(N)]
    return moments(np.stack(samples))


def same_masks(net: nn.Module, image: np.ndarray) -> Maps | None:
    """The plain loop with the very masks that our sampler draws; None for other networks."""
    if not isinstance(net, RelabelUNet):
        return None
    source, copied = MaskSource(), copy.deepcopy(net)
    replace_dropout(copied, source)
    x = _input(image, net)
    samples = []
    for first in range(0, N, at_once(x)):
        source.seed(0, 0, first)
        with torch.no_grad(), true_float32():
            p = copied(torch.cat([x] * min(at_once(x), N - first))).softmax(1)
        samples.append(p.cpu().numpy())
    return moments(np.concatenate(samples))


def moments(p: np.ndarray) -> Maps:
    """Mean, and both parts of the variance, of stacked samples (N, K, *grid)."""
    mean = p.mean(axis=0)
    return {
        "mean": mean,
        "aleatoric": 0.5 * (p * (1 - p)).mean(axis=0).sum(axis=0),
        "epistemic": 0.5 * ((p - mean) ** 2).mean(axis=0).sum(axis=0),
    }


def _input(image: np.ndarray, net: nn.Module) -> torch.Tensor:
    return torch.from_numpy(image)[None, None].to(device_of(net))


def _difference(found: Estimate, expected: Maps | None) -> str:
    if expected is None:
        return "other masks of the same distribution"
    pairs = [(found.probabilities, expected["mean"])]
    pairs += [(found.uncertainty(kind), expected[kind]) for kind in ("aleatoric", "epistemic")]
    worst = max(float(np.abs(a - b).max()) for a, b in pairs)
    if worst > 1e-5:
        raise RuntimeError(f"the results differ by {worst}: nothing was timed")
    return f"largest difference {worst:.0e}"


def _bf16(found: Estimate) -> str:
    if found.extra["precision"] != "bfloat16":
        raise RuntimeError("this processor or image is not one for bfloat16: nothing was timed")
    return "self-check on the image"


def _as_model(net: nn.Module) -> ForeignModel:
    # As one that was opened from a file before, as that of the peers was. Without normalisation,
    # as the peers take it.
    if isinstance(net, RelabelUNet):
        keep_fused(net)
    return ForeignModel("benchmark", net, content_hash="known from the file")


class _dropout_active:
    def __init__(self, net: nn.Module) -> None:
        self._layers = [m for m in net.modules() if isinstance(m, nn.Dropout)]

    def __enter__(self) -> None:
        for layer in self._layers:
            layer.train()

    def __exit__(self, *_: object) -> None:
        for layer in self._layers:
            layer.eval()


def _picture(size: int = 256) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)


def _shake(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
