"""Pixel-wise reweighting with a small clean set: a published baseline to compare relabelling with.

Ren et al., "Learning to reweight examples for robust deep learning", ICML 2018, per pixel as in
Mirikharaji et al., "Learning to segment skin lesions from noisy annotations", MICCAI workshop 2019.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn import functional


class Reweighted(NamedTuple):
    """Loss of one step and the weights in it.

    `loss` is a scalar to call ``backward`` on, or None if no pixel helps: then the step is to be
    skipped, because an optimizer with momentum moves on a zero gradient too. `weights` has shape
    (B, 1, *grid), float32, without gradient; they are >= 0 and sum to 1, or are all 0.
    """

    loss: Tensor | None
    weights: Tensor


def reweighted_loss(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    clean_images: Tensor,
    clean_targets: Tensor,
    *,
    bfloat16: bool = False,
) -> Reweighted:
    """Weigh each pixel by how much a step on it would lower the loss on a clean batch.

    Parameters
    ----------
    network : nn.Module
        In training mode, where all tensors are. Its gradients are left alone.
    images : Tensor, shape (B, C, *grid), float32
        Normalised; in the memory format that the network should compute in.
    targets : Tensor, shape (B, 1, *grid), int64
        Noisy class indices below K.
    clean_images : Tensor, shape (B', C, *grid'), float32
        Images whose masks can be trusted.
    clean_targets : Tensor, shape (B', 1, *grid'), int64
        Their masks.
    bfloat16 : bool
        Compute in bfloat16 what is followed by a backward pass; see the notes.

    Returns
    -------
    Reweighted
        The loss sum(w l) and w. NaN where the network's output is.

    Notes
    -----
    l is the pixels' cross-entropy (binary for a network with one logit), whatever loss the other
    training uses: Dice is no sum over pixels. With theta'(eps) = theta - alpha grad_theta
    sum_i eps_i l_i, pixel i gets w_i = max(-g_i, 0) / sum_j max(-g_j, 0), where
    g_i = d L_clean(theta') / d eps_i at eps = 0 (Ren et al., equations 4 to 8). There
    theta' = theta, and so g_i = -alpha <grad L_clean(theta), grad l_i(theta)>: -g_i / alpha is the
    derivative of l_i along grad L_clean. All of them come from one forward-mode pass; alpha
    cancels, and no second-order graph is built.

    All passes are in the network's training mode. Batch norm uses the statistics of the batch
    that it sees, and its running statistics change by the step's own pass only. Look-ahead and
    step see the same dropout masks, provided that these depend on torch's generator and the shape
    only, not on the dtype, as `TrainingDropout`'s do. The clean batch has masks of its own. So the
    result depends on the arguments and the state of torch's generator only.

    The forward-mode pass is always in float32: in bfloat16 it takes twice as long on the CPU,
    because torch's formula for batch norm then mixes dtypes, and is less precise.
    """
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        clean_logits = functional_call(network, _buffers(network), (clean_images,))
    clean_loss = _cross_entropy(clean_logits, clean_targets).mean()
    direction = torch.autograd.grad(clean_loss, list(parameters.values()))
    with (
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
        torch.autocast(images.device.type, enabled=False),
        forward_ad.dual_level(),
    ):
        moving = {
            name: forward_ad.make_dual(p, slope)  # type: ignore[no-untyped-call]
            for (name, p), slope in zip(parameters.items(), direction, strict=True)
        }
        logits = functional_call(network, {**_buffers(network), **moving}, (images,))
        losses = _cross_entropy(logits, targets)
        slopes: Tensor = forward_ad.unpack_dual(losses).tangent  # type: ignore[no-untyped-call]
    useful = slopes.clamp(min=0)
    total = useful.sum()
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bfloat16):
        logits = network(images)
    if total == 0:
        return Reweighted(None, useful)
    weights = useful / total
    return Reweighted((weights * _cross_entropy(logits, targets)).sum(), weights)


def _buffers(network: nn.Module) -> dict[str, Tensor]:
    # Copies, so that a pass that is not the step's leaves batch norm's running statistics alone.
    return {name: buffer.clone() for name, buffer in network.named_buffers()}


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    logits = logits.float()
    if logits.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(
            logits, targets.float(), reduction="none"
        )
    return functional.cross_entropy(logits, targets[:, 0], reduction="none")[:, None]
