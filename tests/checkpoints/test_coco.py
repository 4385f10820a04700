"""The names stand at the ids of the official class rows."""

from detr_attnviz.checkpoints.coco import COCO_CONTIGUOUS_NAMES, COCO_NAMES, COCO_PANOPTIC_NAMES, NOT_A_CLASS


def test_ids_without_a_class() -> None:
    gaps = [number for number, name in enumerate(COCO_NAMES) if name == NOT_A_CLASS]
    assert gaps == [0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83]


def test_counts_of_classes() -> None:
    assert (len(COCO_NAMES), len(COCO_PANOPTIC_NAMES), len(COCO_CONTIGUOUS_NAMES)) == (91, 250, 80)
    assert sum(name != NOT_A_CLASS for name in COCO_PANOPTIC_NAMES) == 80 + 53
    assert COCO_PANOPTIC_NAMES[:91] == COCO_NAMES


def test_some_names_at_their_ids() -> None:
    assert [COCO_NAMES[number] for number in (1, 17, 18, 75, 90)] == ["person", "cat", "dog", "remote", "toothbrush"]
    assert [COCO_PANOPTIC_NAMES[number] for number in (92, 149, 187, 200)] == [
        "banner",
        "road",
        "sky-other-merged",
        "rug-merged",
    ]
