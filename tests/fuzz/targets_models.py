"""What of neurofit reads weights, checkpoints, training images, scores and the feature store."""

from __future__ import annotations

import functools
import io
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

for _place in (Path(__file__).parent, Path(__file__).parents[1]):
    if str(_place) not in sys.path:
        sys.path.insert(0, str(_place))

import text_mutations as change  # noqa: E402
from driver import Target  # noqa: E402
from targets_studies import read_study, study_bytes, study_seeds  # noqa: E402


def folder_of(folder: Path) -> Path:
    """Make a folder, without what was in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def architecture_seeds(folder: Path) -> list[Path]:
    """Architectures of the zoo, as `neurofit models architecture` writes them."""
    from neurofit.models.architecture_file import without_weights, write_architecture
    from neurofit.models.zoo import zoo_entry

    paths = [folder / f"{name}.toml" for name in ("rgc_shallow", "ff_shallow", "pixels")]
    for path in paths:
        write_architecture(path, without_weights(zoo_entry(path.stem)))
    return paths


def read_architecture(path: Path) -> object:
    from neurofit.models.architecture_file import read_architecture as read
    from neurofit.models.description import describe_model

    return describe_model(str(path)), read(path)


@functools.cache
def _network():
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def weights_seeds(folder: Path) -> list[Path]:
    """Weights of a small network."""
    from neurofit.models.weights import save_weights

    path = folder / "small.safetensors"
    save_weights(_network(), path, {"top1": "0.5", "seed": "1"})
    return [path]


def read_weights(path: Path) -> object:
    from neurofit.models.weights import load_weights, state_hash

    network = _network()
    before = state_hash(network)
    try:
        return load_weights(network, path)
    except Exception:
        assert state_hash(network) == before, "a file that was refused changed the network"
        raise


def read_weights_details(path: Path) -> object:
    from neurofit.models.description import describe_model

    folder = folder_of(path.parent / "mine")
    (folder / "net.toml").write_text(OWN_WEIGHTS)
    shutil.copy(path, folder / "w.safetensors")
    return describe_model(str(folder / "net.toml"))


OWN_WEIGHTS = """
summary = "one node"
weights = "w.safetensors"
[preprocessing]
size_px = 16
[network]
input_px = 16
classes = 3
nodes = [{name = "conv1", channels = 4}]
"""

IDENTITY = {"model": "net", "seed": 1, "recipe": "a"}


def checkpoint_seeds(folder: Path) -> list[Path]:
    """The state of a run as `neurofit train` keeps it."""
    import torch

    from neurofit.training.checkpoints import FILE, Checkpoints

    state = {"network": _network().state_dict(), "epoch": 1, "rows": [{"loss": 1.0}], "order": torch.arange(50)}
    Checkpoints(folder, IDENTITY).save(state)
    return [folder / FILE]


def checkpoint_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a checkpoint; a fourth have a pickle that would run something, or asks for much."""
    kind = rng.integers(8)
    if kind > 1:
        return change.zip_file(content, rng)
    payloads = (
        b"cos\nsystem\n(S'touch pwned'\ntR.", b"cbuiltins\neval\n(S'1+1'\ntR.", b"c__builtin__\nexec\n(S'x=1'\ntR.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.", b"\x80\x04" + b"\x8c\xffa" * 20, b"(" * 100_000 + b".",
        b"\x80\x02X\xff\xff\xff\x7f.", b"\x80\x02}q\xff" * 50,
        b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", b"\x80\x02ccollections\nOrderedDict\n)R.",
    )  # fmt: skip
    payload = payloads[rng.integers(len(payloads))]
    return payload if kind == 0 else with_pickle(content, payload)


def with_pickle(content: bytes, payload: bytes) -> bytes:
    """Return a checkpoint with another pickle in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(made, "w") as archive:
        for info in source.infolist():
            archive.writestr(info.filename, payload if info.filename.endswith("data.pkl") else source.read(info))
    return made.getvalue()


def read_checkpoint(path: Path) -> object:
    from neurofit.training.checkpoints import FILE, Checkpoints

    folder = folder_of(path.parent / "run")
    shutil.copy(path, folder / FILE)
    return Checkpoints(folder, IDENTITY).load()


def tf_seeds(folder: Path) -> list[Path]:
    """The index of a TensorFlow checkpoint."""
    return [Path(f"{_tf_prefix(folder)}.index")]


@functools.cache
def _bundle() -> tuple[bytes, bytes]:
    import tf_bundles as tf

    entries, data = tf.bundle_entries({f"net/conv{n}/weights": np.full((n, 2), n, np.float32) for n in (1, 2, 3)})
    return tf.table(entries), data


def _tf_prefix(folder: Path) -> str:
    import tf_bundles as tf

    return str(tf.write_files(folder / "m", *_bundle()))


def read_tf(path: Path) -> object:
    from neurofit.models.tf_checkpoint import read_checkpoint as read

    folder = folder_of(path.parent / "ckpt")
    prefix = _tf_prefix(folder)
    shutil.copy(path, f"{prefix}.index")
    return {name: values.sum() for name, values in read(prefix).items()}


def image_seeds(folder: Path) -> list[Path]:
    """One picture in every format that is read."""
    from PIL import Image
    from toy_images import encoded, noisy

    made = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "GIF": "gif", "TIFF": "tif", "PPM": "ppm"}
    paths = []
    for kind, suffix in made.items():
        picture = noisy().convert("P") if kind == "GIF" else noisy()
        paths.append(folder / f"a.{suffix}")
        paths[-1].write_bytes(encoded(picture, kind))
    (folder / "b.tif").write_bytes(encoded(noisy(), "TIFF", compression="tiff_lzw"))
    (folder / "c.png").write_bytes(encoded(Image.new("I;16", (9, 9)), "PNG"))
    return [*paths, folder / "b.tif", folder / "c.png"]


def read_image(path: Path) -> object:
    from neurofit.training.image_decoding import check_header, check_image, shown

    content = path.read_bytes()
    check_header(content)
    check_image(content)
    return shown(content, 16).shape


def archive_seeds(folder: Path) -> list[Path]:
    """A dataset of training images in a tar archive, plain and compressed."""
    from toy_images import archived, write_dataset

    data = write_dataset(folder / "images", each=2, size=(9, 8))
    return [archived(data, folder / "a.tar"), archived(data, folder / "b.tar.gz", "w:gz")]


def archive_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Change a tar archive, compressed or not."""
    if content[:2] == b"\x1f\x8b" and rng.integers(2):
        import gzip

        return gzip.compress(change.tar_file(gzip.decompress(content), rng), mtime=0)
    return change.tar_file(content, rng) if content[:2] != b"\x1f\x8b" else change.raw(content, rng)


def read_archive(path: Path) -> object:
    from neurofit.training.datasets import open_task

    task = open_task(path, size_px=8)
    return len(task.training), task.remarks


def label_seeds(folder: Path) -> list[Path]:
    """Tables of validation labels, as they are published."""
    texts = {
        "LOC_val_solution.csv": "ImageId,PredictionString\na,n01 1 2 3 4\nb,n02 1 2 3 4\n",
        "val_annotations.txt": "a.JPEG\tn01\t0\t0\t9\t9\nb.JPEG\tn02\t0\t0\t9\t9\n",
        "imagenet_2012_validation_synset_labels.txt": "n01\nn02\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def read_label_table(path: Path) -> object:
    from neurofit.training.image_labels import label_table, read_labels
    from neurofit.training.image_store import inventory

    folder = folder_of(path.parent / "val")
    shutil.copy(path, folder / path.name)
    found = inventory(folder)
    table = label_table(found)
    return None if table is None else read_labels(found, table)


def kit_seeds(folder: Path) -> list[Path]:
    """The table that explains the numbers of ImageNet's development kit."""
    from scipy.io import savemat

    synsets = np.zeros(2, [("ILSVRC2012_ID", int), ("WNID", "O")])
    synsets["ILSVRC2012_ID"], synsets["WNID"] = (1, 2), ("n01", "n02")
    for name, compress in (("meta.mat", False), ("packed.mat", True)):
        savemat(folder / name, {"synsets": synsets}, do_compression=compress)
    return [folder / "meta.mat", folder / "packed.mat"]


def read_kit(path: Path) -> object:
    from neurofit.training.image_labels import TABLES, label_table, read_labels
    from neurofit.training.image_store import inventory

    folder = folder_of(path.parent / "val")
    shutil.copy(path, folder / "meta.mat")
    (folder / TABLES[3]).write_text("1\n2\n")
    found = inventory(folder)
    return read_labels(found, label_table(found))


KEY = {"network": "a", "layer": "conv"}


def _filled(folder: Path):
    """Return a store with one entry of two chunks, and the entry's folder."""
    from neurofit.files.store import FeatureStore, key_name

    store = FeatureStore(folder_of(folder))
    with store.drafts({"x": KEY}, {"x": {"model": "a", "layer": "conv"}}, print) as drafts:
        for number in range(2):
            drafts["x"].keep("features", number, {"values": np.full((3, 2, 1), number, np.float32)})
        drafts["x"].finish("features", 2)
    return store, store.place(key_name(KEY))


def _store_part(pattern: str) -> Callable[[Path], list[Path]]:
    def seeds(folder: Path) -> list[Path]:
        _, place = _filled(folder / "store")
        return [Path(shutil.copy(path, folder / path.name.split(".")[0])) for path in sorted(place.glob(pattern))[:1]]

    return seeds


def _used(store) -> object:
    """Do with a store all that reads it."""
    from neurofit.files.json_text import to_json
    from neurofit.files.store_upkeep import Pruning, list_entries, verify_entries
    from neurofit.subjects.stored_features import read_features

    told = [(entry.as_dict(), problems) for entry, problems in verify_entries(store)]
    Pruning(unused_days=1).chosen(list_entries(store))
    Pruning(model="a").chosen(list_entries(store))
    entry = store.find(KEY)
    done = None if entry is None else entry.done()
    if entry is not None and done is not None:
        read_features(entry, done[1], 6)
    return to_json(told)


def read_chunk_of_store(path: Path) -> object:
    from neurofit.files.store_chunks import digest_of

    store, place = _filled(path.parent / "store")
    chunk = next(place.glob("features-00000.*.h5"))
    content = path.read_bytes()
    chunk.unlink()
    (place / f"features-00000.{digest_of(content)}.h5").write_bytes(content)
    return _used(store)


def _replacing(name: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        store, place = _filled(path.parent / "store")
        shutil.copy(path, place / name)
        return _used(store)

    return read


def memo_seeds(folder: Path) -> list[Path]:
    """What a store remembers of a layer's units."""
    from neurofit.files.store import FeatureStore

    store = FeatureStore(folder / "store")
    store.remember(KEY, 12)
    return [Path(shutil.copy(path, folder / "memo.json")) for path in (folder / "store" / "memos").iterdir()]


def read_memo(path: Path) -> object:
    from neurofit.files.store import MEMOS, FeatureStore, key_name

    folder = folder_of(path.parent / "store" / MEMOS)
    shutil.copy(path, folder / f"{key_name(KEY)}.json")
    return FeatureStore(folder.parent).recall(KEY)


TARGETS = {
    target.name: target
    for target in (
        Target("architecture", architecture_seeds, change.toml_file, read_architecture),
        Target("weights", weights_seeds, change.safetensors_file, read_weights),
        Target("weights-details", weights_seeds, change.safetensors_file, read_weights_details),
        Target("checkpoint", checkpoint_seeds, checkpoint_bytes, read_checkpoint),
        Target("tf-index", tf_seeds, change.raw, read_tf),
        Target("image", image_seeds, change.raw, read_image),
        Target("archive", archive_seeds, archive_bytes, read_archive),
        Target("labels", label_seeds, change.csv_file, read_label_table),
        Target("label-kit", kit_seeds, change.raw, read_kit),
        Target("store-chunk", _store_part("features-00000.*.h5"), change.raw, read_chunk_of_store),
        Target("store-key", _store_part("key.json"), change.json_file, _replacing("key.json")),
        Target("store-done", _store_part("done.json"), change.json_file, _replacing("done.json")),
        Target("store-memo", memo_seeds, change.json_file, read_memo),
        Target("study", study_seeds, study_bytes, read_study),
    )
}
