"""DICOM series and segmentations of a patient who must not be named anywhere else."""

import numpy as np
import pydicom
from highdicom import UID
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = {
    "PatientName": "Quetzalcoatl^Zzyzx",
    "PatientID": "PID83461QX",
    "PatientBirthDate": "19370519",
    "PatientSex": "O",
    "PatientAddress": "Vogelweidgasse",
    "AccessionNumber": "ACC55107XQ",
    "InstitutionName": "Hospital Xylophon",
    "ReferringPhysicianName": "Wurstemberger^Doctor",
    "StudyDescription": "Study of Zzyzx",
    "SeriesDescription": "Scan of Zzyzx",
    "OtherPatientIDs": "OID77120WW",
}
SECRETS = ["Quetzalcoatl", "Zzyzx", "PID83461QX", "19370519", "Vogelweidgasse", "ACC55107XQ"]
SECRETS += ["Xylophon", "Wurstemberger", "OID77120WW"]


def head(sop_class, study="1.2.3.4", series="1.2.3.4.5"):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, series
    ds.FrameOfReferenceUID = study + ".9"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20200101"
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "101010"
    ds.StudyID, ds.Modality, ds.SeriesNumber, ds.Manufacturer = "1", "CT", 2, "Maker"
    ds.PatientOrientation, ds.PositionReferenceIndicator = "", ""
    for name, value in PATIENT.items():
        setattr(ds, name, value)
    return ds


def pixels(ds, plane):
    """Give a data set the pixels of a (rows, columns[, 3]) plane."""
    ds.Rows, ds.Columns = plane.shape[:2]
    ds.SamplesPerPixel = 3 if plane.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB" if plane.ndim == 3 else "MONOCHROME2"
    if plane.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8 * plane.dtype.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(plane.dtype.kind == "i")
    content = plane.tobytes()
    ds.PixelData = content + b"\0" * (len(content) % 2)


def lps(direction=None, spacing=(0.7, 0.8, 2.5), origin=(-12.5, 30.25, -7)):
    """Affine from (column, row, slice) to mm, LPS."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if direction is None else direction) * spacing
    affine[:3, 3] = origin
    return affine


def slices(voxels, affine=None, *, slope=1, inter=0, series="1.2.3.4.5"):
    """Data sets of a (columns, rows, slices[, 3]) volume, one per slice."""
    affine = lps() if affine is None else affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    out = []
    for k in range(voxels.shape[2]):
        ds = head(CTImageStorage, series=series)
        pixels(ds, np.ascontiguousarray(voxels[:, :, k].swapaxes(0, 1)))
        ds.ImagePositionPatient = [f"{v:.8g}" for v in affine[:3, 3] + k * affine[:3, 2]]
        axes = affine[:3, :2] / spacing[:2]
        ds.ImageOrientationPatient = [f"{v:.8f}" for v in axes.T.ravel()]
        ds.PixelSpacing = [f"{spacing[1]:.8g}", f"{spacing[0]:.8g}"]
        ds.SliceThickness = f"{spacing[2]:.8g}"
        ds.InstanceNumber = k + 1
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = str(slope), str(inter), "HU"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.KVP = "120"
        ds.AcquisitionNumber = 1
        out.append(ds)
    return out


def save_slices(folder, datasets, seed=0):
    """Write slices under names and instance numbers that say nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.random.default_rng(seed).permutation(len(datasets))
    for name, ds in zip(names, datasets, strict=True):
        ds.InstanceNumber = int(name) + 1
        ds.save_as(folder / f"IM{name:04}", enforce_file_format=True)
    return folder


def save_series(folder, voxels, affine=None, **options):
    return save_slices(folder, slices(voxels, affine, **options))


def enhanced(voxels, affine=None, *, slope=1.0, inter=0.0):
    """One enhanced multi-frame data set of a volume, its frames in reverse order."""
    flat = slices(voxels, affine)
    ds = head(EnhancedCTImageStorage)
    stack = np.ascontiguousarray(voxels.transpose(2, 1, 0)[::-1])
    pixels(ds, stack[0])
    ds.PixelData = stack.tobytes() + b"\0" * (stack.nbytes % 2)
    ds.NumberOfFrames = len(flat)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.InstanceNumber = 1
    shared, measures, turn, value = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = flat[0].PixelSpacing, flat[0].SliceThickness
    turn.ImageOrientationPatient = flat[0].ImageOrientationPatient
    value.RescaleSlope, value.RescaleIntercept, value.RescaleType = str(slope), str(inter), "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [turn]
    shared.PixelValueTransformationSequence = [value]
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number, one in enumerate(flat[::-1], 1):
        group, place, content = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = one.ImagePositionPatient
        content.DimensionIndexValues = [number]
        content.FrameAcquisitionNumber = 1
        group.PlanePositionSequence, group.FrameContentSequence = [place], [content]
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    return ds


def segmentation(path, sources, labels, *, names=("liver", "spleen"), omit=True, kind="BINARY"):
    """Write the labels (columns, rows, slices) of sorted source data sets with highdicom."""
    described = [
        SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type="MANUAL",
            tracking_uid=UID(),
            tracking_id=f"{name} {number}",
        )
        for number, name in enumerate(names, 1)
    ]
    Segmentation(
        source_images=sources,
        pixel_array=np.ascontiguousarray(labels.transpose(2, 1, 0)),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=UID(),
        series_number=7,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer="Maker",
        manufacturer_model_name="Model",
        software_versions="1",
        device_serial_number="SN1",
        content_label="ORGANS",
        content_creator_name="Reader^First",
        omit_empty_frames=omit,
    ).save_as(path)
    return path


def read_all(folder):
    return [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
