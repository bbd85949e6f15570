"""What was tried to make sampling faster and is not in the product, measured.

    OMP_NUM_THREADS=1 python benchmarks/speed_tried.py

prints Markdown for docs/results/tried_speed.md.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from speed_timing import in_turn
from torch import Tensor, nn

from napari_relabel.core.estimate import Estimate
from napari_relabel.core.rules import RuleOptions, candidates
from napari_relabel.core.synthetic import Synthetic, ct_case, dermoscopy_case
from napari_relabel.models.api import estimate
from napari_relabel.models.foreign import ForeignModel
from napari_relabel.models.fused import fused
from napari_relabel.models.loading import LoadedModel, bundled_models, load_model
from napari_relabel.models.options import Precision
from napari_relabel.models.preprocess import prepare

N = 20
CASES = 12
#: Adaptive sampling: samples before a tile may be left, and what its doubt has to stay below.
FIRST, QUIET = 5, 0.5


def main() -> None:
    """Measure all and print a table."""
    torch.set_num_threads(1)
    print("| what | aim | found |\n|---|---|---|")
    for what, aim, found in (*int8(), *adaptive(), *compiled()):
        print(f"| {what} | {aim} | {found} |")


def int8() -> Iterator[tuple[str, str, str]]:
    """Convolutions in 8 bits: how fast they are by themselves, and what they change."""
    model = load_model(bundled_models()["dermoscopy"])
    net = copy.deepcopy(model.network)
    seen = _inputs_of_convolutions(net, torch.randn(1, 3, 256, 256))
    works: dict[str, list[Callable[[], object]]] = {"float32": [], "bfloat16": [], "int8": []}
    for conv, x in seen:
        last = x.contiguous(memory_format=torch.channels_last)
        half = copy.deepcopy(conv).bfloat16().to(memory_format=torch.channels_last)
        exact = copy.deepcopy(conv).to(memory_format=torch.channels_last)
        works["float32"].append(partial(exact, last))
        works["bfloat16"].append(partial(half, last.bfloat16()))
        works["int8"].append(_quantised(conv, last))
    with torch.inference_mode():
        times = in_turn(*(partial(_all, each) for each in works.values()))
    f32, bf16, i8 = (np.array(t) for t in times)
    yield (
        "int8 (oneDNN), the convolutions of one pass alone, 256x256, given in 8 bits",
        "faster than bfloat16",
        f"{np.median(f32 / i8):.2f} times as fast as float32, {np.median(bf16 / i8):.2f} times as "
        "bfloat16",
    )
    # Wrapped, so that all of them are sampled layer by layer and with the same masks.
    plain, rounded = _wrapped(model, model.network), _wrapped(model, _rounded(model))
    changed: dict[str, list[float]] = {"int8": [], "bfloat16": []}
    for case in _cases(dermoscopy_case):
        exact = _proposed(case, plain)
        changed["int8"].append(_apart(exact, _proposed(case, rounded)))
        changed["bfloat16"].append(_apart(exact, _proposed(case, plain, "auto")))
    yield (
        "the same: voxels proposed otherwise than in float32, of those proposed",
        "1 %",
        f"{_percent(changed['int8'])}; bfloat16 {_percent(changed['bfloat16'])}",
    )


def _all(works: list[Callable[[], object]]) -> None:
    for work in works:
        work()


def adaptive() -> Iterator[tuple[str, str, str]]:
    """Tiles that are sampled no more because nothing in them is in doubt after a few samples."""
    kinds = (("dermoscopy", dermoscopy_case, 64), ("synthetic-ct", ct_case, 32))
    for name, make, side in kinds:
        model = load_model(bundled_models()[name])
        left: list[float] = []
        lost: list[float] = []
        whole: list[float] = []
        for case in _cases(make):
            few, all_of_them = (_estimate(case, model, n) for n in (FIRST, N))
            delta = candidates(case.noisy, all_of_them, RuleOptions("gated")).default_delta
            quiet = few.uncertainty("total") <= QUIET * delta
            proposed = candidates(case.noisy, all_of_them, RuleOptions("gated")).mask(delta)
            tiles = list(_tiles(quiet.shape, side))
            free = [bool(quiet[tile].all()) for tile in tiles]
            left.append(float(np.mean(free)))
            missed = sum(int(proposed[t].sum()) for t, f in zip(tiles, free, strict=True) if f)
            lost.append(missed / max(1, int(proposed.sum())))
            whole.append(float(quiet.all()))
        share = float(np.mean(left))
        ndim = len(quiet.shape)
        # A tile is cut with what its network sees around it, half a tile on each side.
        around = (1 + (2 * 0.5)) ** ndim
        gain = N / (FIRST + (1 - share) * (N - FIRST) * around)
        yield (
            f"adaptive sampling, {name}, tiles of {side}, left after {FIRST} of {N} samples",
            "4 times as fast, 1 % of the proposals changed",
            f"{share:.0%} of the tiles left, {_percent(lost)} of the proposals lost; with what a "
            f"network sees around a tile at most {gain:.2f} times as fast; whole images left: "
            f"{np.mean(whole):.0%}",
        )


def compiled() -> Iterator[tuple[str, str, str]]:
    """`torch.compile` of the network as it is sampled."""
    for name, grid in (("dermoscopy", (256, 256)), ("synthetic-ct", (64, 64, 64))):
        net = fused(load_model(bundled_models()[name]).network)
        x = torch.randn(1, net.config.in_channels, *grid)
        quick = torch.compile(net)
        with torch.inference_mode():
            eager, fast = in_turn(partial(net, x), partial(quick, x))
        yield (
            f"torch.compile, one pass, {'x'.join(map(str, grid))}, float32",
            "faster",
            f"{np.median(np.divide(eager, fast)):.2f} times as fast as without",
        )


def _cases(make: Callable[[int], Synthetic]) -> Iterator[Synthetic]:
    return (make(1000 + seed) for seed in range(CASES))


def _estimate(
    case: Synthetic, model: LoadedModel | ForeignModel, n: int, precision: Precision = "float32"
) -> Estimate:
    return estimate(
        case.image,
        model,
        n_samples=n,
        precision=precision,
        channel_axis=-1 if case.image.ndim > case.noisy.ndim else None,
        voxel_mm=case.voxel_mm,
        device="cpu",
    )


def _proposed(
    case: Synthetic, model: LoadedModel | ForeignModel, precision: Precision = "float32"
) -> np.ndarray:
    found = candidates(case.noisy, _estimate(case, model, N, precision), RuleOptions("gated"))
    return found.mask(found.default_delta)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float((one != other).sum() / max(1, one.sum()))


def _percent(shares: list[float]) -> str:
    return f"{np.mean(shares):.1%} (at most {np.max(shares):.1%})"


def _tiles(grid: tuple[int, ...], side: int) -> Iterator[tuple[slice, ...]]:
    for corner in np.ndindex(*(-(-n // side) for n in grid)):
        yield tuple(slice(i * side, (i + 1) * side) for i in corner)


def _inputs_of_convolutions(net: nn.Module, x: Tensor) -> list[tuple[nn.Conv2d, Tensor]]:
    seen: list[tuple[nn.Conv2d, Tensor]] = []
    handles = [
        m.register_forward_pre_hook(lambda m, inputs: seen.append((m, inputs[0].detach())))
        for m in net.modules()
        if isinstance(m, nn.Conv2d)
    ]
    with torch.no_grad():
        net(x)
    for handle in handles:
        handle.remove()
    return seen


def _quantised(conv: nn.Conv2d, x: Tensor) -> Callable[[], object]:
    torch.backends.quantized.engine = "onednn"
    weight = torch.quantize_per_channel(
        conv.weight.detach(),
        _scales(conv.weight),
        torch.zeros(len(conv.weight), dtype=torch.int64),
        0,
        torch.qint8,
    )
    packed = torch.ops.quantized.conv2d_prepack(
        weight, conv.bias, list(conv.stride), list(conv.padding), list(conv.dilation), 1
    )
    scale, zero = _range(x)
    data = torch.quantize_per_tensor(x, scale, zero, torch.quint8)
    scale_out, zero_out = _range(conv(x).detach())
    return lambda: torch.ops.quantized.conv2d(data, packed, scale_out, zero_out)


class _Wrapped(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits


def _wrapped(model: LoadedModel, network: nn.Module) -> ForeignModel:
    about = model.checkpoint
    return ForeignModel(model.name, _Wrapped(network), about.normalisation, about.working)


def _rounded(model: LoadedModel) -> nn.Module:
    """The network with weights and inputs of its convolutions rounded to 8 bits."""
    made = copy.deepcopy(model.network)
    seen = dict(_inputs_of_convolutions(made, _typical(model)))
    for conv, x in seen.items():
        scales = _scales(conv.weight)[:, None, None, None]
        conv.weight.data = (conv.weight.data / scales).round().clamp(-128, 127) * scales
        scale, zero = _range(x)

        conv.register_forward_pre_hook(partial(_round_input, scale, zero))
    return made


def _round_input(
    scale: float, zero: int, _: nn.Module, inputs: tuple[Tensor, ...]
) -> tuple[Tensor]:
    return (((inputs[0] / scale + zero).round().clamp(0, 255) - zero) * scale,)


def _typical(model: LoadedModel) -> Tensor:
    case = dermoscopy_case(999)
    image = np.moveaxis(case.image, -1, 0)
    about = model.checkpoint
    return torch.from_numpy(prepare(image, about.normalisation, about.working))[None]


def _scales(weight: Tensor) -> Tensor:
    return weight.detach().abs().amax(dim=(1, 2, 3)).clamp(min=1e-8) / 127


def _range(x: Tensor) -> tuple[float, int]:
    low, high = min(0.0, float(x.min())), max(0.0, float(x.max()))
    scale = max(high - low, 1e-8) / 255
    return scale, round(-low / scale)


if __name__ == "__main__":
    main()
