"""Every format: how a case of it is made and read back by a tool that is not ours.

Voxels are (x, y, z) here, pictures have z = 1; affines are RAS, in mm.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import highdicom
import nibabel as nib
import nrrd
import numpy as np
import SimpleITK as sitk
import tifffile
import zarr
from dicom_cases import read_all, save_slices, segmentation, slices
from PIL import Image
from scipy.spatial.transform import Rotation

LPS = np.diag([-1.0, -1, 1, 1])
#: Oblique, left-handed in RAS: no axis of the patient is an axis of the array.
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("zyx", (20, -15, 35), degrees=True).as_matrix() * (
    0.7,
    0.9,
    2.5,
)
OBLIQUE[:3, 0] *= -1
OBLIQUE[:3, 3] = (-31.5, 12.25, 140)
#: Along the axes, for formats that know no directions: x to the left, y to the back.
STRAIGHT = LPS @ np.diag([0.7, 0.9, 2.5, 1])


@dataclass(frozen=True)
class Kind:
    """A format.

    Parameters
    ----------
    name : str
        For people.
    suffix : str
        Of the masks.
    extra : str
        That it needs; empty for none.
    tool : str
        What reads it back here, independently.
    place : {"affine", "straight", "size", "none"}
        What it knows of its place: everything, all but directions, the voxel size, or nothing.
    order : {"xyz", "zyx", "yx"}
        Axes of our arrays.
    save : callable
        (path, voxels, affine) for a mask, and for an image where `save_image` is None.
    load : callable
        Path to (voxels, affine or voxel size or None), by the tool.
    save_image : callable, optional
        (folder, name, voxels, affine); for formats of which masks and images differ.
    masks : bool
        Whether masks of it are written.
    """

    name: str
    suffix: str
    extra: str
    tool: str
    place: str
    order: str
    save: Callable
    load: Callable
    save_image: Callable | None = None
    masks: bool = True

    @property
    def affine(self):
        if self.extra == "dicom":
            return OBLIQUE @ np.diag([-1, 1, 1, 1])  # Slices in order of their position.
        return OBLIQUE if self.place == "affine" else STRAIGHT

    def write_image(self, folder: Path, name: str, voxels) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        if self.save_image is not None:
            return self.save_image(folder, name, voxels, self.affine)
        self.save(folder / f"{name}{self.suffix}", voxels, self.affine)
        return folder / f"{name}{self.suffix}"

    def write_mask(self, folder: Path, name: str, voxels) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}{self.suffix}"
        self.save(path, voxels, self.affine)
        return path

    def ours(self, voxels):
        """Voxels in the axes of our arrays."""
        if self.order == "xyz":
            return voxels
        return voxels.transpose(2, 1, 0) if self.order == "zyx" else voxels[:, :, 0].T


def to_itk(voxels, affine):
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    there = LPS @ affine
    spacing = np.linalg.norm(there[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(there[:3, 3].tolist())
    image.SetDirection((there[:3, :3] / spacing).ravel().tolist())
    return image


def from_itk(image):
    voxels = sitk.GetArrayFromImage(image)
    if image.GetDimension() == 2:
        # ITK makes colours of the grey palette of a BMP.
        return (voxels[..., 0] if voxels.ndim == 3 else voxels).T[..., None], None
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return voxels.transpose(2, 1, 0), LPS @ affine


def load_itk(path):
    return from_itk(sitk.ReadImage(str(path)))


def load_series(path):
    if Path(path).is_file():
        return load_itk(path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
    return from_itk(reader.Execute())


def save_nifti(cls):
    def save(path, voxels, affine):
        image = cls(voxels, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, path)

    return save


def load_nifti(path):
    image = nib.load(path)
    return np.asarray(image.dataobj), image.affine


def save_itk(path, voxels, affine):
    sitk.WriteImage(to_itk(voxels, affine), str(path), useCompression=True)


def save_nrrd(path, voxels, affine):
    there = LPS @ affine
    fields = {"space": "left-posterior-superior", "space directions": there[:3, :3].T}
    fields |= {"space origin": there[:3, 3], "kinds": ["domain"] * 3, "encoding": "gzip"}
    nrrd.write(str(path), voxels, fields, detached_header=path.suffix == ".nhdr" or None)


def load_nrrd(path):
    voxels, fields = nrrd.read(str(path))
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = fields["space directions"].T, fields["space origin"]
    return voxels, LPS @ affine


def sources(voxels, affine):
    return slices(voxels.astype(np.int16), LPS @ affine)


def save_dicom(folder, name, voxels, affine):
    return save_slices(folder / name, sources(voxels, affine))


def save_seg(kind):
    def save(path, voxels, affine):
        series = path.parent.parent / "images" / path.name.removesuffix(path.suffix)
        segmentation(path, by_position(series), voxels, names=["organ"], kind=kind)

    return save


def by_position(series):
    found = read_all(series)
    normal = np.cross(*np.array(found[0].ImageOrientationPatient, float).reshape(2, 3))
    return sorted(found, key=lambda ds: float(np.array(ds.ImagePositionPatient, float) @ normal))


def load_seg(path):
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    # highdicom counts slices, rows, columns.
    affine = volume.affine[:, [2, 1, 0, 3]]
    voxels = volume.array.transpose(2, 1, 0)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    if affine[:3, 2] @ normal < 0:
        last = affine[:3, 3] + (voxels.shape[2] - 1) * affine[:3, 2]
        affine, voxels = affine.copy(), voxels[:, :, ::-1]
        affine[:3, 2], affine[:3, 3] = -affine[:3, 2], last
    return voxels, LPS @ affine


def save_zarr(version):
    def save(path, voxels, affine):
        form = 2 if version == "0.4" else 3
        group = zarr.open_group(path, mode="w", zarr_format=form)
        data = np.ascontiguousarray(voxels.transpose(2, 1, 0))
        array = group.create_array("0", shape=data.shape, dtype=data.dtype, chunks=(4, 6, 6))
        array[...] = data
        scale = np.abs(np.diag(affine)[2::-1]).tolist()
        image = {
            "axes": [{"name": a, "type": "space", "unit": "millimeter"} for a in "zyx"],
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": scale},
                        {"type": "translation", "translation": [5.0, 2.0, -1.0]},
                    ],
                }
            ],
        }
        if form == 3:
            group.attrs["ome"] = {"version": version, "multiscales": [image]}
        else:
            group.attrs["multiscales"] = [{"version": version, **image}]

    return save


def load_zarr(path):
    group = zarr.open_group(path, mode="r")
    attributes = dict(group.attrs)
    image = attributes.get("ome", attributes)["multiscales"][0]
    steps = image["datasets"][0]["coordinateTransformations"]
    scale, move = (step[step["type"]] for step in steps)
    affine = np.diag([*scale[::-1], 1.0])
    affine[:3, 3] = move[::-1]
    return group["0"][...].transpose(2, 1, 0), LPS @ affine


def save_ome_tiff(path, voxels, affine):
    edges = dict(zip("XYZ", np.abs(np.diag(affine)[:3]), strict=True))
    metadata = {"axes": "ZYX"}
    for axis, edge in edges.items():
        metadata |= {f"PhysicalSize{axis}": edge, f"PhysicalSize{axis}Unit": "mm"}
    data = np.ascontiguousarray(voxels.transpose(2, 1, 0))
    tifffile.imwrite(path, data, ome=True, metadata=metadata, compression="zlib")


def save_tiff(path, voxels, affine):
    data = np.ascontiguousarray(voxels.transpose(2, 1, 0))
    tifffile.imwrite(path, data, photometric="minisblack", compression="lzw")


def load_tiff(path):
    voxels, _ = load_itk(path)
    with Image.open(path) as opened:
        text = str(opened.tag_v2.get(270, ""))
    if "PhysicalSizeX" not in text:
        return voxels, None
    pixels = ElementTree.fromstring(re.sub(r'xmlns="[^"]*"', "", text)).find(".//Pixels")
    return voxels, tuple(float(pixels.get(f"PhysicalSize{axis}")) for axis in "XYZ")


def save_picture(path, voxels, affine):
    plane = voxels[:, :, 0].T
    Image.fromarray(np.ascontiguousarray(plane.astype(np.uint8))).save(path)


def save_jpeg(folder, name, voxels, affine):
    save_picture(folder / f"{name}.jpg", voxels, affine)
    return folder / f"{name}.jpg"


def save_numpy(path, voxels, affine):
    data = np.asfortranarray(voxels.transpose(2, 1, 0))
    if path.suffix == ".npy":
        np.save(path, data)
    else:
        np.savez_compressed(path, voxels=data)


def load_numpy(path):
    found = np.load(path)
    return (found if path.suffix == ".npy" else found["voxels"]).transpose(2, 1, 0), None


_NIFTI, _PAIR = save_nifti(nib.Nifti1Image), save_nifti(nib.Nifti1Pair)
FULL = "affine"
KINDS = [
    Kind("NIfTI", ".nii.gz", "", "SimpleITK", FULL, "xyz", _NIFTI, load_itk),
    Kind("NIfTI-2", ".nii", "", "nibabel", FULL, "xyz", save_nifti(nib.Nifti2Image), load_nifti),
    Kind("NIfTI pair", ".hdr", "", "SimpleITK", FULL, "xyz", _PAIR, load_itk),
    Kind("NRRD", ".nrrd", "itk", "pynrrd", FULL, "xyz", save_nrrd, load_nrrd),
    Kind("NRRD, detached", ".nhdr", "itk", "pynrrd", FULL, "xyz", save_nrrd, load_nrrd),
    Kind("MetaImage", ".mha", "itk", "SimpleITK", FULL, "xyz", save_itk, load_itk),
    Kind("MetaImage, detached", ".mhd", "itk", "SimpleITK", FULL, "xyz", save_itk, load_itk),
    Kind(
        "DICOM series; DICOM-SEG, binary",
        ".dcm",
        "dicom",
        "SimpleITK; highdicom",
        FULL,
        "xyz",
        save_seg("BINARY"),
        load_seg,
        save_dicom,
    ),
    Kind(
        "DICOM series; DICOM-SEG, label map",
        ".dcm",
        "dicom",
        "SimpleITK; highdicom",
        FULL,
        "xyz",
        save_seg("LABELMAP"),
        load_seg,
        save_dicom,
    ),
    Kind(
        "OME-Zarr 0.4", ".ome.zarr", "zarr", "zarr", "straight", "zyx", save_zarr("0.4"), load_zarr
    ),
    Kind(
        "OME-Zarr 0.5", ".ome.zarr", "zarr", "zarr", "straight", "zyx", save_zarr("0.5"), load_zarr
    ),
    Kind("OME-TIFF", ".ome.tif", "", "SimpleITK", "size", "zyx", save_ome_tiff, load_tiff),
    Kind("TIFF", ".tif", "", "SimpleITK", "none", "zyx", save_tiff, load_tiff),
    Kind("PNG", ".png", "", "SimpleITK", "none", "yx", save_picture, load_itk),
    Kind("BMP", ".bmp", "", "SimpleITK", "none", "yx", save_picture, load_itk),
    Kind(
        "JPEG",
        ".png",
        "",
        "SimpleITK",
        "none",
        "yx",
        save_picture,
        load_itk,
        save_jpeg,
        masks=False,
    ),
    Kind("npy", ".npy", "", "numpy", "none", "zyx", save_numpy, load_numpy),
    Kind("npz", ".npz", "", "numpy", "none", "zyx", save_numpy, load_numpy),
]
