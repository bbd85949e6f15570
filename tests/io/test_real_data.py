"""The real data sets open, and one case of each is written back exactly."""

import gzip

import pytest

from napari_relabel.io.dataset import open_dataset
from napari_relabel.io.volume import check_pair, read_image, read_labels, write_labels


@pytest.mark.parametrize(
    ("name", "layout", "count", "values"),
    [
        ("liver_ct", "decathlon", 24, (0, 1)),
        ("hippocampus", "decathlon", 200, (0, 1, 2)),
        ("isic2017", "folders", 2150, (0, 255)),
    ],
)
def test_opens_and_writes_back(real_data, tmp_path, name, layout, count, values):
    dataset = open_dataset(real_data / name)
    assert (dataset.layout, len(dataset.cases), dataset.unpaired) == (layout, count, ())
    case = dataset.cases[0]
    image, labels = read_image(case.image), read_labels(case.labels)
    check_pair(image, labels)
    assert labels.values == values
    target = tmp_path / case.labels.name
    write_labels(target, labels, labels.indices)
    if target.name.endswith(".gz"):
        assert gzip.decompress(target.read_bytes()) == gzip.decompress(case.labels.read_bytes())
    else:
        assert read_labels(target).stored.tobytes() == labels.stored.tobytes()


def test_split_of_isic(real_data):
    splits = [case.split for case in open_dataset(real_data / "isic2017").cases]
    assert (splits.count("train"), splits.count("val")) == (2000, 150)
