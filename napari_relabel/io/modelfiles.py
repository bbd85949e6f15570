"""What a path that is given as a model holds, told without running or unpickling any of it."""

from __future__ import annotations

import hashlib
import importlib.machinery
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_relabel.io.errors import InputError
from napari_relabel.io.hashing import check_file, file_sha256

Kind = Literal[
    "weights",
    "description",
    "onnx",
    "torchscript",
    "exported program",
    "MONAI bundle",
    "nnU-Net",
    "Python function",
]

#: Kinds that run code of whoever made them when they are loaded or used.
UNSAFE: frozenset[Kind] = frozenset(
    ("torchscript", "exported program", "MONAI bundle", "nnU-Net", "Python function")
)
NNUNET_CHECKPOINT = "checkpoint_final.pth"

_SUFFIXES: dict[str, Kind] = {
    ".pt2": "exported program",
    ".onnx": "onnx",
    ".json": "description",
    ".ts": "torchscript",
    ".pt": "weights",
    ".pth": "weights",
    ".safetensors": "weights",
}


@dataclass(frozen=True)
class ModelFiles:
    """A model that lies in files.

    Parameters
    ----------
    source : str
        As it was named.
    kind : Kind
        ``"weights"`` stands for own checkpoints and bundled models too.
    path : Path
        The file or folder.
    files : tuple of Path
        All that its content hash is made of; empty where a bundled model or nothing was named.
    function : str
        Of a Python function, its name.
    """

    source: str
    kind: Kind
    path: Path
    files: tuple[Path, ...] = ()
    function: str = ""

    @property
    def unsafe(self) -> bool:
        """Whether loading or using it runs code of whoever made it."""
        return self.kind in UNSAFE

    @property
    def place(self) -> str:
        """What was named, whatever the working directory."""
        if self.function:
            return f"{self.path.resolve()}:{self.function}"
        return str(Path(self.source).resolve())

    def sha256(self) -> str:
        """SHA-256 over the kind, and the name and content of every file.

        Raises
        ------
        InputError
            If a file cannot be read.
        """
        root = self.path if self.path.is_dir() else self.path.parent
        digest = hashlib.sha256(f"{self.kind} {self.function}\n".encode())
        for file in self.files:
            line = f"{file.relative_to(root).as_posix()} {file_sha256(file)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def model_source(source: Path | str) -> ModelFiles:
    """Tell what kind of model a path stands for.

    Parameters
    ----------
    source : Path or str
        A file, a folder, the name of a bundled model, ``module:function`` or
        ``file.py:function``.

    Returns
    -------
    ModelFiles

    Raises
    ------
    InputError
        If it is a file of another type, or a Python module that does not exist.
    """
    path = Path(source)
    if path.is_dir():
        return _folder(str(source), path)
    if path.is_file():
        return _file(str(source), path)
    module, colon, function = str(source).rpartition(":")
    if colon and function.isidentifier():
        if module.endswith(".py"):
            file = check_file(module)
            return ModelFiles(str(source), "Python function", file, (file,), function)
        if module.replace(".", "").isidentifier():
            return _module(str(source), module, function)
    return ModelFiles(str(source), "weights", path)


def absolute_source(source: Path | str) -> str:
    """What names the same model in a process with another working directory."""
    path = Path(source)
    if path.exists():
        return str(path.absolute())
    module, colon, function = str(source).rpartition(":")
    if colon and module.endswith(".py"):
        return f"{Path(module).absolute()}:{function}"
    return str(source)


def is_nnunet_fold(folder: Path) -> bool:
    """Whether a folder is one fold of an nnU-Net."""
    return folder.name.startswith("fold_") and (folder.parent / "plans.json").is_file()


def nnunet_folds(folder: Path) -> tuple[Path, ...]:
    """The trained folds of an nnU-Net folder, or the one that is named itself."""
    folds = [folder] if is_nnunet_fold(folder) else sorted(folder.glob("fold_*"))
    return tuple(fold for fold in folds if (fold / NNUNET_CHECKPOINT).is_file())


def _folder(source: str, path: Path) -> ModelFiles:
    # The folder may be named as "fold_0/..", or be the working directory.
    path = path.resolve()
    if is_nnunet_fold(path) or ((path / "plans.json").is_file() and any(path.glob("fold_*"))):
        root = path.parent if is_nnunet_fold(path) else path
        folds = [fold / NNUNET_CHECKPOINT for fold in nnunet_folds(path)]
        if not folds:
            raise InputError(
                f"{source} has no fold with a {NNUNET_CHECKPOINT}: finish its training, or give "
                "the folder that holds plans.json and fold_0"
            )
        files = (root / "dataset.json", root / "plans.json", *folds)
        return ModelFiles(source, "nnU-Net", root, files)
    if (path / "configs").is_dir():
        parts = ("configs", "models", "scripts")
        found = [file for part in parts for file in (path / part).rglob("*") if file.is_file()]
        files = tuple(sorted(f for f in found if "__pycache__" not in f.parts))
        return ModelFiles(source, "MONAI bundle", path, files)
    return ModelFiles(source, "weights", Path(source))


def _file(source: str, path: Path) -> ModelFiles:
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path} is no network: its suffix is none of {', '.join(sorted(_SUFFIXES))}"
        )
    if kind in ("weights", "torchscript"):
        kind = _archive(path)
    # Where torch.onnx puts the weights.
    beside = path.with_name(f"{path.name}.data")
    files = (path, beside) if kind == "onnx" and beside.is_file() else (path,)
    return ModelFiles(source, kind, path, files)


def _archive(path: Path) -> Kind:
    """What torch wrote: it gives each kind of archive other members."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {tuple(name.split("/")[1:]) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError):
        return "weights"
    if any(member[:1] == ("code",) for member in members):
        return "torchscript"
    return "exported program" if ("archive_format",) in members else "weights"


def _module(source: str, module: str, function: str) -> ModelFiles:
    # Only the top package is looked up: looking for more would import it.
    spec = importlib.machinery.PathFinder.find_spec(module.partition(".")[0])
    if spec is None:
        raise InputError(
            f"{source}: there is no Python module {module.partition('.')[0]}: install it, set "
            "PYTHONPATH, or name a file as file.py:function"
        )
    if spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        return ModelFiles(
            source, "Python function", root, tuple(sorted(root.rglob("*.py"))), function
        )
    file = check_file(spec.origin or module)
    return ModelFiles(source, "Python function", file, (file,), function)
