"""Class files that hold something else are one clear line."""

from pathlib import Path

import pytest

from detr_attnviz.checkpoints.class_names import read_class_names
from detr_attnviz.errors import ChoiceError


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no class names; expected one name a line"),
        (b"\n \n", "holds no class names"),
        (b"\xff\xfe\x00", "class names cannot be read: it is not UTF-8 text"),
        (b"{", "not valid JSON; expected a COCO file"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"1": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"categories": [{"id": 1e999, "name": "cat"}]}', "no class names found; expected a COCO file"),
        (b'{"categories": [{"id": NaN, "name": "cat"}]}', "no class names found"),
        (b'{"categories": [{"name": "cat"}]}', "no class names found"),
        (b'{"categories": 7}', "no class names found"),
        (b'{"categories": []}', r"class ids must be in 0–100000"),
        (b'{"-1": "cat"}', r"class ids must be in 0–100000"),
        (b'{"1000000000": "cat"}', r"class ids must be in 0–100000"),
        (b"[1, 2]", "no class names found"),
    ],
)
def test_what_holds_no_names(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    with pytest.raises(ChoiceError, match=f"names.txt: .*{words}") as caught:
        read_class_names(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "words"), [("gone.txt", "it does not exist; give"), (".", "it is a folder; give")])
def test_what_is_no_file(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ChoiceError, match=f"class names cannot be read: {words} a text file with one name a line"):
        read_class_names(tmp_path / name)
