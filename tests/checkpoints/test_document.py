"""checkpoints.md says what is so: its example runs, its table is the zoo's."""

import re
from pathlib import Path

from detr_attnviz.checkpoints import zoo
from detr_attnviz.checkpoints.layouts import LAYOUTS, UNTOLD

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


def test_every_way_of_naming_attention_weights_is_told() -> None:
    told = DOCUMENT.partition("### Other models")[2]
    endings = {layout.weights[0] for layout in LAYOUTS if not layout.left_out} | UNTOLD.keys()
    names = {ending.removesuffix(".weight") for ending in endings}
    shorthands = {"q_proj_weight": "in_proj_weight", "to_kv": "kv", "kv_proj": "kv"}
    assert {name for name in names if f"`{shorthands.get(name, name)}`" not in told} == set()
