"""Outlines: tracing, filling, discrete curve evolution and Fourier descriptors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_relabel.core.noise.contour import evolve, fill, low_pass, trace


def component(seed, shape=(18, 23)):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 1.0)
    labels, _ = ndimage.label(field > np.quantile(field, 0.6), np.ones((3, 3)))
    return ndimage.binary_fill_holes(labels == 1)


@given(st.integers(0, 100_000))
def test_filling_a_traced_shape_gives_it_back(seed):
    shape = component(seed)
    assert np.array_equal(fill(trace(shape), shape.shape), shape)


def winding_number(point, outline):
    total = 0.0
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        u, v = a - point, b - point
        total += np.arctan2(u[0] * v[1] - u[1] * v[0], u @ v)
    return round(total / (2 * np.pi))


@given(st.integers(0, 100_000), st.integers(3, 9))
def test_fill_takes_the_centres_that_the_outline_winds_around(seed, n):
    # Random vertices: self-crossing outlines that also leave the image.
    outline = np.random.default_rng(seed).uniform(-4, 13, (n, 2))
    found = fill(outline, (8, 10))
    expected = [
        [winding_number(np.array([r, c]), outline) != 0 for c in range(10)] for r in range(8)
    ]
    assert np.array_equal(found, expected)


def relevances(points):
    out = []
    for i in range(len(points)):
        u, v = points[i] - points[i - 1], points[(i + 1) % len(points)] - points[i]
        l1, l2 = np.hypot(*u), np.hypot(*v)
        cosine = np.clip((u @ v) / (l1 * l2), -1, 1)
        out.append(np.arccos(cosine) * l1 * l2 / (l1 + l2))
    return np.array(out)


@given(st.integers(0, 100_000), st.integers(3, 20))
def test_evolution_is_the_definition_applied_one_vertex_at_a_time(seed, n_vertices):
    # Points in general position: no two vertices are equally relevant.
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 40))
    radius = rng.uniform(5, 9, 40)
    outline = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
    expected = outline
    while len(expected) > n_vertices:
        expected = np.delete(expected, relevances(expected).argmin(), axis=0)
    assert np.array_equal(evolve(outline, n_vertices), expected)


def test_evolution_takes_the_first_of_equal_vertices():
    square = np.array([[0, 0], [0, 4], [4, 4], [4, 0]], float)
    assert np.array_equal(evolve(square, 3), square[1:])


def test_evolution_drops_points_on_straight_edges_first():
    corners = np.array([[0, 0], [0, 30], [40, 30], [40, 0]], float)
    dense = np.concatenate(
        [
            np.linspace(a, b, 11)[:-1]
            for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)
        ]
    )
    assert np.array_equal(evolve(dense, 4), corners)


def test_evolution_leaves_short_contours_alone():
    triangle = np.array([[0, 0], [0, 4], [4, 4]], float)
    assert np.array_equal(evolve(triangle, 3), triangle)
    assert np.array_equal(evolve(triangle, 7), triangle)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_low_pass_keeps_exactly_the_low_harmonics(n):
    t = np.arange(400) / 400 * 2 * np.pi
    rng = np.random.default_rng(0)
    z = 30 * np.exp(1j * t)
    for k in range(2, 12):
        z = z + 0.3 * rng.normal() * np.exp(1j * k * t) + 0.3 * rng.normal() * np.exp(-1j * k * t)
    found = low_pass(np.stack([z.real, z.imag], axis=1), n)
    spectrum = np.fft.fft(found[:, 0] + 1j * found[:, 1])
    power = np.abs(spectrum)
    high = np.abs(np.fft.fftfreq(len(found), 1 / len(found))) > n + 0.5
    assert power[high].max() < 1e-9 * power.max()
    assert power[~high].min() > 1e-6 * power.max()


def test_low_pass_does_not_depend_on_the_start():
    outline = trace(component(5))
    one = low_pass(outline, 2)
    two = low_pass(np.roll(outline, 7, axis=0), 2)
    nearest = np.abs((one[:, None] - two[None]) @ [1, 1j]).min(axis=1)
    assert nearest.max() < 0.2


def test_low_pass_of_a_circle_is_that_circle():
    t = np.arange(200) / 200 * 2 * np.pi
    circle = np.stack([7 + 20 * np.sin(t), 9 + 20 * np.cos(t)], axis=1)
    assert np.abs(low_pass(circle, 1) - circle).max() < 0.01
