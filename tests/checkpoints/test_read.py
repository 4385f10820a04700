"""Every kind of file is read, and what is no checkpoint is refused in one clear line, without running any of it."""

import argparse
import contextlib
import json
import os
import pathlib
import pickle
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch
from safetensors.torch import save as save_tensors
from safetensors.torch import save_file
from torch import nn

from detr_attnviz.checkpoints.read import read, sha256_of
from detr_attnviz.errors import CheckpointError, ChoiceError, UnsafeCheckpointError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.float16)}
ARGS = argparse.Namespace(nheads=8, dilation=False, output_dir=PurePosixPath("/runs/7"), epochs=300)


def assert_state(found: dict[str, torch.Tensor]) -> None:
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) and found[name].dtype == STATE[name].dtype for name in STATE)


@pytest.fixture(params=["zip", "legacy"])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Path]:
    """Writes with torch.save in both of its formats."""

    def write(content: Any, name: str = "checkpoint.pth") -> Path:
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=request.param == "zip")
        return tmp_path / name

    return write


@pytest.mark.parametrize("suffix", ["pth", "pt", "bin", "pkl", "ckpt", "weights"])
def test_bare_state_dict_of_any_suffix(save: Callable[..., Path], suffix: str) -> None:
    found = read(save(STATE, f"checkpoint.{suffix}"))
    assert_state(found.tensors)
    assert (found.flavour, found.args, found.notes) == ("bare", {}, ())


def test_hub_checkpoint(save: Callable[..., Path]) -> None:
    found = read(save({"model": STATE}))
    assert_state(found.tensors)
    assert found.flavour == "hub"


def test_training_checkpoint_with_arguments_and_a_path_in_them(save: Callable[..., Path]) -> None:
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-4}]}
    found = read(save({"model": STATE, "optimizer": optimizer, "epoch": 299, "args": ARGS}))
    assert_state(found.tensors)
    assert found.flavour == "training"
    assert found.args == {"nheads": 8, "dilation": False, "output_dir": "/runs/7", "epochs": 300}
    assert found.metadata == {"epoch": "299"}


@pytest.mark.parametrize("kind", ["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"])
@pytest.mark.parametrize("module", ["pathlib", "pathlib._local"])
def test_paths_of_any_system_and_python_load_as_text(kind: str, module: str, tmp_path: Path) -> None:
    pure = pathlib.PureWindowsPath if "Windows" in kind else pathlib.PurePosixPath
    args = argparse.Namespace(where=pure("runs"))
    torch.save({"model": STATE, "args": args}, tmp_path / "plain.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "plain.pth").read_bytes()
    for name in {f"{cls.__module__}\n{cls.__name__}\n" for cls in (pure, type(args.where))}:
        content = content.replace(name.encode(), f"{module}\n{kind}\n".encode())
    assert f"{module}\n{kind}\n".encode() in content
    (tmp_path / "other.pth").write_bytes(content)
    assert read(tmp_path / "other.pth").args == {"where": "runs"}


@pytest.mark.parametrize("name", ["model", "state_dict", "model_state_dict", "module"])
def test_state_dict_under_any_usual_name(save: Callable[..., Path], name: str) -> None:
    assert_state(read(save({name: STATE, "epoch": 1})).tensors)


@pytest.mark.parametrize(
    "ema", [{"model_ema": STATE}, {"ema": STATE}, {"ema": {"module": STATE}}, {"ema": {"model": STATE}}]
)
def test_plain_weights_are_preferred_and_averaged_ones_offered(save: Callable[..., Path], ema: dict[str, Any]) -> None:
    plain = {"a.weight": torch.zeros(1)}
    path = save({"model": plain, **ema, "args": ARGS})
    found = read(path)
    assert torch.equal(found.tensors["a.weight"], plain["a.weight"])
    assert "plain weights taken from 'model'; the file also has averaged (EMA) ones" in found.notes[0]
    averaged = read(path, weights="ema")
    assert_state(averaged.tensors)
    assert averaged.flavour == "ema"
    assert averaged.args["nheads"] == 8


def test_averaged_weights_alone_are_taken_and_said(save: Callable[..., Path]) -> None:
    found = read(save({"model_ema": STATE, "epoch": 3}))
    assert_state(found.tensors)
    assert "no others" in found.notes[0]


def test_averaged_weights_that_are_not_there(save: Callable[..., Path]) -> None:
    with pytest.raises(ChoiceError, match=r"no averaged \(EMA\) weights"):
        read(save({"model": STATE}), weights="ema")


def test_values_that_are_no_tensors_are_skipped_and_said(save: Callable[..., Path]) -> None:
    found = read(save({"model": {**STATE, "step": 3, "_metadata": {"version": 1}}, "epoch": 1}))
    assert_state(found.tensors)
    assert "2 values that are no tensors were skipped (_metadata, step)" in found.notes


def test_parameters_come_out_as_plain_tensors(save: Callable[..., Path]) -> None:
    (tensor,) = read(save({"a": nn.Parameter(torch.ones(2))})).tensors.values()
    assert not tensor.requires_grad


def test_zip_is_memory_mapped_and_a_compressed_zip_read_all_the_same(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "stored.pth")
    with zipfile.ZipFile(tmp_path / "stored.pth") as source, zipfile.ZipFile(tmp_path / "small.pth", "w") as target:
        for member in source.infolist():
            target.writestr(member.filename, source.read(member), compress_type=zipfile.ZIP_DEFLATED)
    assert_state(read(tmp_path / "stored.pth").tensors)
    assert_state(read(tmp_path / "small.pth").tensors)


def test_safetensors_with_our_metadata(tmp_path: Path) -> None:
    config = {"format": "detr_attnviz/1", "nheads": 8, "dilation": True, "classes": ["circle"]}
    save_file(STATE, tmp_path / "demo.safetensors", metadata={"config": json.dumps(config), "made": "here"})
    found = read(tmp_path / "demo.safetensors")
    assert_state(found.tensors)
    assert (found.flavour, found.args, found.metadata["made"]) == ("safetensors", config, "here")


def test_safetensors_under_another_name(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.bin")
    assert_state(read(tmp_path / "model.bin").tensors)


@pytest.mark.parametrize("config", ["not json", "[1]"])
def test_safetensors_metadata_of_somebody_else(tmp_path: Path, config: str) -> None:
    save_file(STATE, tmp_path / "x.safetensors", metadata={"config": config})
    assert read(tmp_path / "x.safetensors").args == {}


@pytest.fixture
def hugging_face_folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "detr", "encoder_attention_heads": 8}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": 640}}))
    return tmp_path


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "whatever.pth"])
def test_folder_with_one_weight_file(hugging_face_folder: Path, name: str) -> None:
    if name.endswith(".safetensors"):
        save_file(STATE, hugging_face_folder / name)
    else:
        torch.save(STATE, hugging_face_folder / name)
    found = read(hugging_face_folder)
    assert_state(found.tensors)
    assert found.flavour == "folder"
    assert found.args["encoder_attention_heads"] == 8
    assert found.args["preprocessor_config"] == {"size": {"shortest_edge": 640}}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_folder_of_shards(hugging_face_folder: Path, kind: str) -> None:
    stem = "model" if kind == "safetensors" else "pytorch_model"
    weight_map = {}
    for number, (name, tensor) in enumerate(STATE.items()):
        shard = f"{stem}-{number}.{kind}"
        weight_map[name] = shard
        if kind == "bin":
            torch.save({name: tensor}, hugging_face_folder / shard)
        else:
            save_file({name: tensor}, hugging_face_folder / shard)
    (hugging_face_folder / f"{stem}.{kind}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_state(read(hugging_face_folder).tensors)
    assert sha256_of(hugging_face_folder) != sha256_of(hugging_face_folder / f"{stem}-0.{kind}")
    (hugging_face_folder / f"{stem}-1.{kind}").unlink()
    with pytest.raises(CheckpointError, match=rf"1 of 2 shards are missing \({stem}-1.*fetch the whole folder again"):
        read(hugging_face_folder)


@pytest.mark.parametrize(
    "shard", ["../outside.safetensors", "/etc/passwd", "a/b.safetensors", "..", "c:x", "\\\\host\\x"]
)
def test_shards_outside_the_folder_are_refused(tmp_path: Path, shard: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(UnsafeCheckpointError, match="inside the folder"):
        read(tmp_path)


@pytest.mark.parametrize("index", ["{", "[]", "{}", '{"weight_map": {}}'])
def test_damaged_index(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=r"index\.json.*; (correct it, or fetch it|fetch the whole folder) again"):
        read(tmp_path)


def test_config_beside_a_hugging_face_file_is_read_and_beside_others_not(hugging_face_folder: Path) -> None:
    torch.save(STATE, hugging_face_folder / "pytorch_model.bin")
    torch.save(STATE, hugging_face_folder / "checkpoint.pth")
    assert read(hugging_face_folder / "pytorch_model.bin").args["model_type"] == "detr"
    assert read(hugging_face_folder / "checkpoint.pth").args == {}


def test_folder_with_several_checkpoints_asks_for_one(tmp_path: Path) -> None:
    for name in ("checkpoint0.pth", "checkpoint1.pth"):
        torch.save(STATE, tmp_path / name)
    with pytest.raises(CheckpointError, match=r"holds 2 checkpoints \(checkpoint0\.pth, checkpoint1\.pth\)"):
        read(tmp_path)


def test_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a folder without weights; expected one of model\.safetensors"):
        read(tmp_path)


NOT_CHECKPOINTS = {
    "empty": (b"", "the file is empty"),
    "web page": (b"\n<!DOCTYPE html><html>not found</html>", "a web page saved under this name"),
    "picture": (b"\x89PNG\r\n\x1a\n0000", "a PNG picture"),
    "photograph": (b"\xff\xd8\xff\xe0 JFIF", "a JPEG picture"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip archive"),
    "json": (b'{"a": 1}', "a JSON text"),
    "text": (b"hello world, this is no checkpoint\n", "unknown format"),
    "cut pickle": (b"\x80\x02}q\x00(X\x05", "not a checkpoint|cut off"),
    "cut zip": (b"PK\x03\x04" + bytes(200), "cut off"),
    "cut safetensors": ((64).to_bytes(8, "little") + b'{"a":', "cut off or damaged"),
}


@pytest.mark.parametrize("kind", NOT_CHECKPOINTS)
def test_what_is_no_checkpoint_is_named(tmp_path: Path, kind: str) -> None:
    content, words = NOT_CHECKPOINTS[kind]
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_file(save: Callable[..., Path]) -> None:
    path = save({"model": {"a": torch.zeros(50_000)}})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cut off"):
        read(path)


@pytest.mark.parametrize("is_zip", [True, False])
def test_damage_anywhere_is_an_error_of_ours_or_harmless(tmp_path: Path, is_zip: bool) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model": STATE, "args": ARGS}, path, _use_new_zipfile_serialization=is_zip)
    content = path.read_bytes()
    places = random.Random(0)
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[places.randrange(len(content))] = places.randrange(256)
        path.write_bytes(damaged[: places.choice([len(content), places.randrange(len(content))])])
        with contextlib.suppress(CheckpointError):
            read(path)


def test_wrong_content_under_a_safetensors_name(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x02}q\x00." * 20)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read(tmp_path / "x.safetensors")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="no such file"):
        sha256_of(tmp_path / "none.pth")


@pytest.mark.parametrize("name", [b"\xff\xfe.pth", "ü\n\x1b[31m".encode(), b"x" * 250 + b".pth", b"-c.pth", b" .pth. "])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_file_of_any_name(tmp_path: Path, name: bytes, form: str) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    if form == "safetensors":
        path.write_bytes(save_tensors(STATE))
    else:
        with path.open("wb") as file:
            torch.save(STATE, file, _use_new_zipfile_serialization=form == "zip")
    assert_state(read(path).tensors)
    assert len(sha256_of(path)) == 64


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe with a name, as POSIX systems can")
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pth")
    for path in (tmp_path / "x.pth", Path("/dev/zero")):
        with pytest.raises(CheckpointError, match=r"is a (pipe|device or socket), not a file; give the path"):
            read(path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder" / "model.safetensors")
    with pytest.raises(CheckpointError, match="a folder without weights"):
        read(tmp_path / "folder")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gives up rights in a fork, as POSIX systems can")
def test_file_that_may_not_be_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "x.pth")
    (tmp_path / "x.pth").chmod(0)
    tmp_path.chmod(0o755)
    process = os.fork()
    if not process:
        os.chdir(tmp_path)
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            read("x.pth")
        except CheckpointError as error:
            os._exit(0 if "cannot be read (Permission denied)" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_torchscript_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"model/{name}", b"")
    with pytest.raises(CheckpointError, match="TorchScript"):
        read(tmp_path / "model.pt")


def test_other_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("picture.png", b"")
    with pytest.raises(CheckpointError, match="another zip archive"):
        read(tmp_path / "x.pth")


@pytest.mark.parametrize("content", [[1, 2], torch.ones(2), {"epoch": 3, "lr": 0.1}, {}, {"model": {}}])
def test_pickles_without_a_state_dict(save: Callable[..., Path], content: object) -> None:
    with pytest.raises(CheckpointError, match="expected a dictionary of tensors|no tensors found"):
        read(save(content))


class Hostile:
    """Pickles as a call that would leave a mark."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def hostile_objects(mark: Path) -> dict[str, Hostile]:
    return {
        f"{os.system.__module__}.system": Hostile(os.system, f"touch {mark}"),
        "builtins.eval": Hostile(eval, f"open({str(mark)!r}, 'w')"),
        "builtins.exec": Hostile(exec, f"open({str(mark)!r}, 'w')"),
        "builtins.getattr": Hostile(Path.touch, mark),
    }


@pytest.mark.parametrize("name", hostile_objects(Path("mark")))
def test_hostile_pickle_leaves_no_mark_and_is_refused_by_name(save: Callable[..., Path], mark: Path, name: str) -> None:
    path = save({"model": STATE, "extra": hostile_objects(mark)[name]})
    with pytest.raises(UnsafeCheckpointError, match=r"nothing in it was run") as caught:
        read(path)
    assert name.rpartition(".")[2] in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_hostile_plain_pickle_of_every_protocol(tmp_path: Path, mark: Path, protocol: int) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"a": Hostile(os.system, f"touch {mark}")}, protocol=protocol))
    with pytest.raises(UnsafeCheckpointError, match="system"):
        read(path)
    assert not mark.exists()


def test_whole_pickled_module_is_refused_by_its_class(save: Callable[..., Path]) -> None:
    with pytest.raises(UnsafeCheckpointError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict"):
        read(save(nn.Linear(2, 2)))


def test_other_pickle_protocol_says_how_to_save_again(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "x.pth", pickle_protocol=4)
    with pytest.raises(CheckpointError, match="another protocol than 2"):
        read(tmp_path / "x.pth")


def test_allow_list_of_the_process_stays_as_it_was(save: Callable[..., Path]) -> None:
    path = save({"model": STATE, "args": ARGS})
    with torch.serialization.safe_globals([argparse.Namespace]):
        before = set(torch.serialization.get_safe_globals())
        read(path)
        assert set(torch.serialization.get_safe_globals()) == before
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


def test_reading_warns_nobody(save: Callable[..., Path]) -> None:
    path = save({"model": STATE, "args": ARGS})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(path)


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc").startswith("ba7816bf8f01cfea")
