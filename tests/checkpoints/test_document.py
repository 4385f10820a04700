"""checkpoints.md says what is so: its example runs, its table is the zoo's."""

import re
from pathlib import Path

from detr_attnviz.checkpoints import zoo

DOCUMENT = (Path(__file__).parents[2] / "checkpoints.md").read_text(encoding="utf-8")


def test_worked_example_runs() -> None:
    blocks = re.findall(r"```python\n(.+?)```", DOCUMENT, flags=re.DOTALL)
    assert len(blocks) == 2
    exec("\n".join(blocks), {})


def test_every_known_checkpoint_is_in_the_table() -> None:
    for entry in zoo.known():
        (row,) = re.findall(rf"^\| `{entry.name}` .+$", DOCUMENT, flags=re.MULTILINE)
        for word in (entry.file, f"`{entry.sha256_prefix}`", f"ResNet-{entry.backbone.removeprefix('resnet')}"):
            assert word in row
        assert ("dilated C5" in row) == entry.dilation
        assert f"{entry.ap:g}" in row
