"""Training dropout against what nn.Dropout promises."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from training_runs import run_to_end, tiny

from napari_relabel.io.dataset import open_dataset
from napari_relabel.models.dropout import MaskSource, SampledDropout, replace_dropout
from napari_relabel.models.unet import RelabelUNet, UNetConfig
from napari_relabel.training.cases import load_cases
from napari_relabel.training.dropout import TrainingDropout, use_training_dropout
from napari_relabel.training.trainer import Trainer

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0.05, 0.2, 0.5, 0.9])
def test_masks_have_the_rate_the_scale_and_the_dtype(p, dtype):
    torch.manual_seed(0)
    x = torch.ones(2, 8, 150, 150, dtype=dtype)
    y = TrainingDropout(p)(x)
    assert y.dtype == dtype
    dropped = (y == 0).double().mean()
    assert abs(float(dropped) - p) < 5 * np.sqrt(p * (1 - p) / x.numel())
    kept = y[y != 0]
    rounding = max(torch.finfo(dtype).eps, 2e-4)
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)), rtol=rounding, atol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_passes_the_very_mask(dtype, layout):
    torch.manual_seed(0)
    x = torch.ones(2, 3, 5, 7, dtype=dtype).to(memory_format=layout).requires_grad_()
    y = TrainingDropout(0.5)(x)
    assert y.is_contiguous(memory_format=layout)
    above = torch.arange(1, 1 + x.numel(), dtype=dtype).view(x.shape)
    y.backward(above)
    assert torch.equal(x.grad, above * y.detach())
    assert 0 < int((y == 0).sum()) < x.numel()


def test_masks_follow_torchs_generator_and_differ_between_calls():
    x = torch.ones(3, 40)
    dropout = TrainingDropout(0.5)

    def two():
        return dropout(x), dropout(x)

    torch.manual_seed(5)
    first = two()
    torch.manual_seed(5)
    again = two()
    torch.manual_seed(6)
    other = two()
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


def test_in_evaluation_it_is_the_identity():
    x = torch.randn(2, 3)
    before = torch.get_rng_state()
    assert TrainingDropout(0.5).eval()(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_keeps_its_weights_modes_and_kinds_of_layers():
    network = RelabelUNet(UNetConfig(dropout=0.3, features=4))
    plain = copy.deepcopy(network)
    use_training_dropout(network)
    found = [m for m in network.modules() if isinstance(m, TrainingDropout)]
    assert len(found) == 10 and all(m.p == 0.3 for m in found)
    assert all(isinstance(m, nn.Dropout) for m in found)
    assert network.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(network.eval()(x), plain.eval()(x))
    assert replace_dropout(network, MaskSource())
    assert sum(isinstance(m, SampledDropout) for m in network.modules()) == 10


def test_the_trainer_uses_it(discs):
    options = tiny()
    trainer = Trainer(run_to_end(load_cases(open_dataset(discs(4)), options))[1], options)
    assert any(isinstance(m, TrainingDropout) for m in trainer.network.modules())
