"""A generated CT of an upper abdomen: organs as soft-edged solids in millimetres, in HU.

Axes run to the patient's left, back and head; the origin is the middle of the volume.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_relabel.core.synthetic_fields import (
    Float,
    band_field,
    cloud_field,
    ramp,
    sigmoid,
    smooth_field,
    solid,
)

#: Field of view in mm, whatever the grid.
FIELD_MM = (360.0, 360.0, 288.0)
#: HU that the grey values 0 and 255 stand for.
WINDOW_HU = (-125.0, 275.0)

_Triple = tuple[float, float, float]
_AIR, _FAT, _LUNG = -1000.0, -100.0, -830.0


def scan_abdomen(
    rng: np.random.Generator, shape: tuple[int, int, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Build a patient and scan it.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    shape : tuple of three int
        Grid (X, Y, Z) that covers `FIELD_MM`.

    Returns
    -------
    image : ndarray, shape (X, Y, Z), uint8
        HU clipped to `WINDOW_HU` and rescaled to 0..255.
    truth : ndarray, shape (X, Y, Z), uint8
        1 in the liver, 0 elsewhere.
    """
    patient = _Patient(rng, shape)
    cavity = patient.body()
    dome = patient.diaphragm(cavity)
    back = patient.spine(cavity)
    inside = np.minimum.reduce([cavity - 1, dome - 1, -back])
    patient.bowel(np.minimum(inside, 5 - patient.z))
    liver = patient.organs(inside)
    patient.ribs(cavity)
    return patient.scan(), solid(liver > 0).astype(np.uint8)


class _Patient:
    """Paints organs, one over the other, into a volume of HU.

    An organ is a level: roughly the distance to its surface in mm, positive inside. All of them
    are drawn in the same smoothly warped coordinates, so that they bend together.
    """

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> None:
        self.rng = rng
        self.shape = shape
        self.spacing = tuple(f / n for f, n in zip(FIELD_MM, shape, strict=True))
        axes = [
            ((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5) * np.float32(f)
            for n, f in zip(shape, FIELD_MM, strict=True)
        ]
        grid = np.meshgrid(*axes, indexing="ij", sparse=True)
        size = np.float32(rng.uniform(0.93, 1.06))
        self.x, self.y, self.z = ((axis + 4 * self._field(45)) / size for axis in grid)
        self.hu = np.full(shape, _AIR, np.float32)
        #: Half of the distance over which partial volume blurs a surface.
        self.soft = np.float32(0.25 * np.mean(self.spacing))

    def _pixels(self, mm: float) -> list[float]:
        return [mm / s for s in self.spacing]

    def _field(self, mm: float) -> Float:
        return smooth_field(self.rng, self.shape, self._pixels(mm))

    def paint(self, level: Float, hu: float | Float) -> None:
        """Fill the inside of a level with a value."""
        self.hu += sigmoid(level / self.soft) * (hu - self.hu)

    def ellipsoid(self, centre: _Triple, radii: _Triple, bumps: float = 0.0) -> Float:
        """Level of an ellipsoid, with bumps of so many mm."""
        r = np.sqrt(
            ((self.x - np.float32(centre[0])) / np.float32(radii[0])) ** 2
            + ((self.y - np.float32(centre[1])) / np.float32(radii[1])) ** 2
            + ((self.z - np.float32(centre[2])) / np.float32(radii[2])) ** 2
        )
        level = (1 - r) * np.float32(min(radii))
        return level + np.float32(bumps) * self._field(18) if bumps else level

    def _jitter(self, centre: _Triple, mm: float) -> _Triple:
        dx, dy, dz = self.rng.normal(0, mm, 3)
        return centre[0] + dx, centre[1] + dy, centre[2] + dz

    def body(self) -> Float:
        """Table, skin, fat and muscle wall; returns the level of the cavity within."""
        rng = self.rng
        half_width, half_depth = rng.uniform(150, 166), rng.uniform(112, 126)
        fat, muscle = rng.uniform(6, 24), rng.uniform(8, 11)
        reach = np.sqrt((self.x / half_width) ** 2 + (np.abs(self.y) / half_depth) ** 2.4)
        outer = (1 - reach) * np.float32(0.85 * half_depth)
        table = 4 - np.abs(self.y - np.float32(half_depth + 14) + (self.x / 40) ** 2)
        self.paint(table, 220.0)
        self.paint(outer, 20.0)
        self.paint(outer - 2.5, _FAT + 12 * self._field(8))
        wall = outer - np.float32(fat) - 4 * ramp(np.abs(self.x), 40, 110)
        self.paint(wall, 50.0)
        cavity = wall - np.float32(muscle)
        self.paint(cavity, _FAT + 10 * self._field(8))
        return cavity

    def diaphragm(self, cavity: Float) -> Float:
        """Lungs and heart above the diaphragm; returns the level of what is below it."""
        rng = self.rng
        right, left = rng.uniform(88, 108), rng.uniform(78, 96)
        height = np.maximum.reduce(
            [
                right - ((self.x + 70) / 10) ** 2 - ((self.y + 5) / 12) ** 2,
                left - ((self.x - 78) / 10) ** 2 - ((self.y + 5) / 12) ** 2,
                rng.uniform(68, 78) - ((self.x - 5) / 9) ** 2 - ((self.y + 30) / 11) ** 2,
            ]
        )
        below = 0.6 * (np.maximum(height, -40) - self.z)
        vessels = 500 * ramp(band_field(rng, self.shape, self._pixels(5)), 1.6, 2.6)
        self.paint(np.minimum(cavity, -below), _LUNG + vessels)
        heart = self.ellipsoid(self._jitter((24, -42, 100), 4), (62, 50, 46), 2)
        self.paint(np.minimum(heart, -below), rng.uniform(90, 160))
        # The mediastinum: soft tissue around oesophagus and great vessels between the lungs.
        self.paint(np.minimum(self.ellipsoid((0, 40, 110), (34, 30, 90)), -below), 30.0)
        return np.asarray(below, np.float32)

    def bowel(self, level: Float) -> None:
        """Loops with fluid, oral contrast or gas, in mesenteric fat."""
        rng = self.rng
        loops = band_field(rng, self.shape, self._pixels(9))
        content = self._field(30)
        gas = ramp(25 * self._field(30) - self.y, 35, 60)
        filling = 35 + rng.uniform(0, 260) * ramp(content, 0.6, 1.2) - 850 * gas * (content < 0)
        self.paint(np.minimum(level, 12 * (loops - 0.1)), 45.0)
        self.paint(np.minimum(level - 2, 12 * (loops - 0.6)), filling)

    def organs(self, inside: Float) -> Float:
        """Everything in the cavity; returns the level of the liver."""
        rng = self.rng
        phase = rng.uniform(0, 60)
        kidneys = [
            self.ellipsoid(self._jitter((-58, 56, -50), 4), (29, 26, 54), 2),
            self.ellipsoid(self._jitter((62, 56, -32), 4), (29, 26, 54), 2),
        ]
        aorta = self._tube(8, 36, rng.uniform(9, 12))
        cava = self._tube(-22, 28, rng.uniform(10, 13))
        gallbladder = self.ellipsoid(self._jitter((-40, -46, -46), 5), (14, 20, 24), 1)
        near = np.maximum.reduce([*kidneys, cava, gallbladder])
        liver = self._liver(np.minimum(inside, -near - 1))
        spleen = self.ellipsoid(self._jitter((104, 40, 32), 6), (36, 52, 50), 2)
        stomach = self.ellipsoid(self._jitter((58, -28, 30), 8), (46, 42, 52), 4)

        tissue = rng.uniform(95, 120)
        self._stomach(np.minimum.reduce([inside, stomach, -liver - 2]))
        self.paint(np.minimum.reduce([inside, spleen, -stomach - 3]), tissue + rng.uniform(-5, 15))
        for kidney in kidneys:
            self._kidney(np.minimum(kidney, inside), tissue + phase)
        pancreas = self.ellipsoid((18, 6, -8), (52, 12, 13), 3)
        self.paint(np.minimum.reduce([pancreas, -liver - 2, inside]), tissue - 15)
        self.paint(np.minimum(liver, inside), tissue + 5 * self._field(25))
        self._vessels(liver, tissue + rng.uniform(40, 90))
        self.paint(np.minimum(gallbladder, inside), rng.uniform(5, 20))
        self.paint(aorta, tissue + 30 + phase)
        self.paint(np.minimum(cava, inside), tissue + 0.5 * phase)
        return liver

    def _tube(self, x: float, y: float, radius: float) -> Float:
        """Level of a vertical cylinder."""
        return np.float32(radius) - np.hypot(self.x - np.float32(x), self.y - np.float32(y))

    def _liver(self, room: Float) -> Float:
        """Right and left lobe, grown together, cut to the room that the neighbours leave."""
        rng = self.rng
        right = self.ellipsoid(self._jitter((-76, 2, 18), 4), (77, 88, rng.uniform(84, 104)), 3)
        reach = rng.uniform(60, 105)
        left = self.ellipsoid(self._jitter((-8, -46, 38), 4), (reach, 46, 46), 3)
        united = np.logaddexp(right / 6, left / 6) * 6
        # The visceral surface rises from the right tip towards the left.
        slope = rng.uniform(0.45, 0.75)
        visceral = (self.z + rng.uniform(30, 55) - slope * (self.x + 60) - 0.25 * self.y) * 0.75
        surface = np.minimum(united, visceral + 5 * self._field(20))
        return np.asarray(np.minimum(surface, room), np.float32)

    def _vessels(self, liver: Float, hu: float) -> None:
        """Portal and hepatic veins: branching random walks, thinner with every branching."""
        rng = self.rng
        raster = np.zeros(self.shape, np.float32)
        tips = [(np.array([-25.0, 0.0, 18.0]), np.array([-1.0, 0.0, 0.2]), 5.0)]
        tips += [
            (np.array([-25.0, 22.0, 78.0]), np.array([-1.0, s, -0.5]), 4.0) for s in (-1, 0, 1)
        ]
        while tips:
            at, heading, radius = tips.pop()
            for _ in range(int(rng.uniform(10, 20))):
                heading = heading + rng.normal(0, 0.18, 3)
                heading /= np.linalg.norm(heading)
                at = at + 2 * heading
                voxel = np.floor((at / FIELD_MM + 0.5) * self.shape).astype(int)
                if np.all((voxel >= 0) & (voxel < self.shape)):
                    raster[tuple(voxel)] = max(raster[tuple(voxel)], radius**2)
            if radius > 1.5:
                for _ in range(2):
                    tips.append((at, heading + rng.normal(0, 0.7, 3), 0.77 * radius))
        # Undo the blur's dilution over its cross-section: cover depends on the radius in mm alone.
        blur = self._pixels(2.2)
        tubes = ndimage.gaussian_filter(raster, blur) * np.float32(1.4 * blur[0] * blur[1])
        cover = np.minimum(tubes, 1) * sigmoid((liver - 2) / self.soft)
        self.hu += cover * (hu - self.hu)

    def _kidney(self, level: Float, cortex: float) -> None:
        self.paint(level, cortex)
        self.paint(level - 9, cortex - 25)
        self.paint(level - 17, _FAT + 60)

    def _stomach(self, level: Float) -> None:
        """Wall, fluid or oral contrast, and a gas bubble that floats to the front."""
        rng = self.rng
        self.paint(level, 60.0)
        self.paint(level - 4, float(rng.choice([15.0, 35.0, 220.0])))
        surface = -self.y - np.float32(rng.uniform(20, 52))
        self.paint(np.minimum(level - 4, surface), -950.0)

    def spine(self, cavity: Float) -> Float:
        """Muscles of the back and vertebrae with discs and canal; returns the level of both."""
        rng = self.rng
        muscle = np.minimum(62 - np.abs(self.x), self.y - 76)
        for side in (-1, 1):
            psoas = np.minimum(self._tube(32 * side, 62, 16), -16 - 0.5 * self.z)
            muscle = np.maximum(muscle, psoas)
        self.paint(np.minimum(muscle, cavity + 9), 55.0)
        vertebra = 1 - np.hypot(self.x / 23, (self.y - 62) / 18)
        body = vertebra * np.float32(18)
        level = (self.z + np.float32(rng.uniform(0, 34))) / 34
        offset = np.abs(level - np.rint(level))
        disc = ramp(offset, 0.36, 0.42)
        marrow = rng.uniform(130, 190) + 25 * self._field(4)
        self.paint(body, 330 * (1 - disc) + 80 * disc)
        self.paint(body - 3, marrow * (1 - disc) + 80 * disc)
        arch = np.minimum(self._tube(0, 88, 16), 92 - self.y)
        processes = np.maximum(
            np.minimum(4.5 - np.abs(self.x), 14 - np.abs(self.y - 104)),
            np.minimum(4.5 - np.abs(self.y - 86), 30 - np.abs(self.x)),
        )
        bone = np.maximum(arch, np.minimum(processes, 20 * (0.5 - disc - offset)))
        self.paint(bone, 380.0)
        self.paint(self._tube(0, 86, 8.5), 25.0)
        return np.asarray(np.maximum(body, muscle), np.float32)

    def ribs(self, cavity: Float) -> None:
        """Ribs in the wall, slanting down to the front."""
        rng = self.rng
        around = np.arctan2(np.abs(self.x), self.y)
        rib = (self.z + 62 * around + np.float32(rng.uniform(0, 26))) / 26
        band = 26 * (0.14 - np.abs(rib - np.rint(rib)))
        ribs = np.minimum.reduce([3.2 - np.abs(cavity + 5), band, self.z + 90 - 25 * around])
        self.paint(np.minimum(ribs, self.y + 95), 420.0 + 80 * self._field(4))
        self.paint(ribs - 2.5, 200.0)

    def scan(self) -> npt.NDArray[np.uint8]:
        """Blur, correlated noise and the window."""
        rng = self.rng
        seen = ndimage.gaussian_filter(self.hu, 0.45)
        fine = smooth_field(rng, self.shape, [0.55, 0.55, 0.3])
        seen += rng.uniform(8, 16) * fine + 4 * cloud_field(rng, self.shape, 6.0)
        low, high = WINDOW_HU
        grey = np.clip((seen - low) / (high - low), 0, 1) * 255
        return np.asarray(np.rint(grey), np.uint8)
