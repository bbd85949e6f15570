"""Pixel weights against the definition by brute force, and what they do to corrupted labels."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from training_runs import ball

from napari_relabel.models.unet import RelabelUNet, UNetConfig
from napari_relabel.training.dropout import TrainingDropout, use_training_dropout
from napari_relabel.training.reweight import reweighted_loss

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}


def tiny_network(spatial_dims, n_logits):
    torch.manual_seed(0)
    convolution, norm = (
        (nn.Conv2d, nn.BatchNorm2d) if spatial_dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    )
    return nn.Sequential(
        convolution(2, 4, 3, padding=1),
        norm(4),
        TrainingDropout(0.3),
        nn.LeakyReLU(0.1, inplace=True),
        convolution(4, n_logits, 1),
    )


def batch(n, spatial_dims, n_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn((n, 2, *(6, 5, 4)[:spatial_dims]), generator=generator)
    targets = torch.randint(n_classes, (n, 1, *images.shape[2:]), generator=generator)
    return images, targets


def pixel_losses(logits, targets):
    """Minus the log of the probability of the target."""
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    return -torch.log_softmax(logits, dim=1).gather(1, targets)


def by_brute_force(network, images, targets, clean_images, clean_targets, alpha=0.1):
    """The definition, with a step on sum(eps * loss) that is differentiated through."""
    parameters = dict(network.named_parameters())
    fresh = {name: buffer.clone() for name, buffer in network.named_buffers()}
    clean_masks = torch.get_rng_state()
    network_output(network, parameters, fresh, clean_images)  # Where the step's masks begin.
    logits = network_output(network, parameters, fresh, images)
    losses = pixel_losses(logits, targets)
    eps = torch.zeros_like(losses, requires_grad=True)
    gradients = torch.autograd.grad(
        (eps * losses).sum(), list(parameters.values()), create_graph=True
    )
    moved = {
        name: p - alpha * g for (name, p), g in zip(parameters.items(), gradients, strict=True)
    }
    torch.set_rng_state(clean_masks)
    clean_logits = network_output(network, moved, fresh, clean_images)
    (g,) = torch.autograd.grad(pixel_losses(clean_logits, clean_targets).mean(), eps)
    useful = torch.clamp(-g, min=0)
    weights = useful / useful.sum()
    return (weights * losses).sum(), weights


def network_output(network, parameters, buffers, images):
    return functional_call(network, {**parameters, **copy.deepcopy(buffers)}, (images,))


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("n_logits", [1, 2, 4])
@pytest.mark.parametrize("channels_last", [False, True])
def test_weights_loss_and_gradient_agree_with_the_definition(spatial_dims, n_logits, channels_last):
    network = tiny_network(spatial_dims, n_logits)
    images, targets = batch(3, spatial_dims, max(2, n_logits), seed=1)
    clean = batch(2, spatial_dims, max(2, n_logits), seed=2)
    if channels_last:
        images = images.contiguous(memory_format=LAYOUTS[spatial_dims])
        network.to(memory_format=LAYOUTS[spatial_dims])

    torch.manual_seed(7)
    expected_loss, expected = by_brute_force(network, images, targets, *clean)
    expected_loss.backward()
    expected_gradients = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()

    torch.manual_seed(7)
    loss, weights = reweighted_loss(network, images, targets, *clean)
    assert all(p.grad is None for p in network.parameters())
    loss.backward()
    assert weights.shape == targets.shape and not weights.requires_grad
    assert 0.05 < float((weights == 0).float().mean()) < 0.95
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss, expected_loss, rtol=1e-4, atol=1e-6)
    for p, gradient in zip(network.parameters(), expected_gradients, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-3, atol=1e-5)


def test_only_the_steps_own_pass_moves_the_running_statistics():
    network = tiny_network(2, 1)
    plain = copy.deepcopy(network)
    images, targets = batch(3, 2, 2, seed=1)
    reweighted_loss(network, images, targets, *batch(2, 2, 2, seed=2))
    plain(images)
    for (name, buffer), expected in zip(network.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(buffer, expected), name


def test_the_same_bits_from_the_same_state_of_torchs_generator():
    images, targets = batch(3, 2, 2, seed=1)
    found = []
    for seed in (3, 3, 4):
        network = tiny_network(2, 1)
        torch.manual_seed(seed)
        found.append(reweighted_loss(network, images, targets, *batch(2, 2, 2, seed=2)))
    assert torch.equal(found[0].weights, found[1].weights)
    assert torch.equal(found[0].loss, found[1].loss)
    assert not torch.equal(found[0].weights, found[2].weights)


def test_bfloat16_gives_nearly_the_same_weights():
    network = RelabelUNet(UNetConfig(features=8, dropout=0.3))
    use_training_dropout(network)
    network.to(memory_format=torch.channels_last)
    images, targets, _, _ = discs(8, seed=1)
    images = images.contiguous(memory_format=torch.channels_last)
    clean_images, _, clean_targets, _ = discs(4, seed=2)
    found = []
    for bfloat16 in (False, True):
        torch.manual_seed(3)
        found.append(
            reweighted_loss(
                network, images, targets, clean_images, clean_targets, bfloat16=bfloat16
            )
        )
    single, half = found
    assert half.loss.dtype == half.weights.dtype == torch.float32
    assert half.loss.item() == pytest.approx(single.loss.item(), rel=0.02)
    # With other dropout masks it is 0.5.
    assert np.corrcoef(single.weights.flatten(), half.weights.flatten())[0, 1] > 0.999
    half.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_where_no_pixel_helps_there_is_no_loss():
    network = nn.Conv2d(1, 1, 1)
    nothing = torch.zeros(2, 1, 4, 4)
    foreground = torch.ones(2, 1, 4, 4, dtype=torch.int64)
    loss, weights = reweighted_loss(network, nothing, foreground, nothing, 1 - foreground)
    assert loss is None
    assert torch.equal(weights, nothing)


def discs(n, seed, n_classes=2):
    """Pictures of discs of each foreground class, labels half of them wrong, true labels."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((n, 1, 32, 32), np.int64)
    for number in range(n):
        for k in range(1, n_classes):
            truth[number, 0][ball((32, 32), rng.uniform(7, 25, 2), rng.uniform(5, 7)) > 0] = k
    wrong = np.zeros(truth.shape, bool)
    wrong[:, :, rng.integers(16) :][:, :, :16] = True
    labels = np.where(wrong, (truth + 1) % n_classes, truth)
    images = truth + rng.normal(0, 0.3, (n, 3, 32, 32))
    return (torch.from_numpy(images).float(), *map(torch.from_numpy, (labels, truth, wrong)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_wrong_pixels_weigh_less_after_a_little_training(n_classes):
    torch.manual_seed(0)
    network = RelabelUNet(UNetConfig(features=4, out_channels=1 if n_classes == 2 else n_classes))
    use_training_dropout(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for step in range(15):
        images, labels, _, wrong = discs(8, 2 * step, n_classes)
        clean_images, _, clean, _ = discs(4, 2 * step + 1, n_classes)
        optimizer.zero_grad()
        loss, weights = reweighted_loss(network, images, labels, clean_images, clean)
        assert float(weights.sum()) == pytest.approx(1, abs=1e-4)
        loss.backward()
        optimizer.step()
    assert float(weights[wrong].mean()) < 0.3 * float(weights[~wrong].mean())
    with torch.no_grad():
        images, _, truth, _ = discs(8, 99, n_classes)
        logits = network(images)
    found = (logits > 0).long() if n_classes == 2 else logits.argmax(dim=1, keepdim=True)
    # The same steps on the plain loss end below 0.65: half of all labels are wrong.
    assert float((found == truth).float().mean()) > 0.8
