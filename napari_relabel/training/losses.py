"""Training losses, from MONAI."""

from __future__ import annotations

from monai.losses.dice import DiceCELoss
from torch import nn

from napari_relabel.training.options import Loss


def make_loss(loss: Loss, out_channels: int, *, over_batch: bool) -> nn.Module:
    """Loss of logits (B, K, *grid) against class indices (B, 1, *grid), a mean over the batch.

    Parameters
    ----------
    loss : {"ce+dice", "ce", "dice"}
        Cross-entropy, soft Dice loss over the foreground classes, or their sum.
    out_channels : int
        Number of logits: 1 means a sigmoid and binary cross-entropy, more a softmax.
    over_batch : bool
        Sum the terms of Dice over the whole batch, so that a window without foreground does no
        harm; otherwise Dice is the mean over the images.

    Returns
    -------
    nn.Module
        MONAI's ``DiceCELoss``, suitably weighted.
    """
    binary = out_channels == 1
    return DiceCELoss(
        sigmoid=binary,
        softmax=not binary,
        to_onehot_y=not binary,
        # With one sigmoid output the only channel is the foreground.
        include_background=binary,
        batch=over_batch,
        lambda_ce=float(loss != "dice"),
        lambda_dice=float(loss != "ce"),
    )
