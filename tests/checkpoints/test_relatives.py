"""Models that are not DETR are named instead of listed key by key."""

import pytest
import torch

from detr_attnviz.checkpoints.naming import canonical
from detr_attnviz.checkpoints.relatives import IN_TRANSFORMERS, MODEL_TYPES, refuse_relative, relative_of
from detr_attnviz.errors import CheckpointError
from tests.checkpoints.states import hugging_face_state, mask_head, notebook_state, official_state, prefixed

TELLING_KEYS = {
    "Deformable DETR": ["transformer.decoder.layers.0.cross_attn.sampling_offsets.weight"],
    "DINO": ["module.transformer.decoder.layers.0.cross_attn.sampling_offsets.weight", "module.label_enc.weight"],
    "RT-DETR": ["model.encoder.lateral_convs.0.conv.weight", "model.encoder.pan_blocks.0.conv1.conv.weight"],
    "D-FINE or DEIM": ["decoder.decoder.lqe_layers.0.reg_conf.layers.0.weight", "encoder.lateral_convs.0.conv.weight"],
    "RF-DETR or LW-DETR": [
        "backbone.0.projector.stages.0.weight",
        "transformer.decoder.layers.0.sampling_offsets.bias",
    ],
    "Grounding DINO": ["bert.embeddings.weight", "transformer.decoder.layers.0.sampling_offsets.bias"],
    "DAB-DETR": ["refpoint_embed.weight", "transformer.decoder.layers.0.ca_qcontent_proj.weight"],
    "Conditional DETR": ["transformer.decoder.layers.0.ca_qcontent_proj.weight"],
    "YOLOS": ["vit.embeddings.detection_tokens"],
    "YOLO": ["model.0.conv.weight", "model.0.bn.weight", "model.22.cv2.0.0.conv.weight"],
    "a ResNet classifier": ["conv1.weight", "layer1.0.conv1.weight", "fc.weight"],
    "a ResNet without a transformer": ["conv1.weight", "layer1.0.conv1.weight"],
    "a Vision Transformer": ["blocks.0.attn.qkv.weight"],
    "BERT": ["bert.embeddings.word_embeddings.weight"],
}


@pytest.mark.parametrize("name", TELLING_KEYS)
def test_relative_is_named_by_its_keys(name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"looks like {name}, not DETR.*inspect-weights"):
        canonical(dict.fromkeys(TELLING_KEYS[name], torch.zeros(1)))


@pytest.mark.parametrize("name", TELLING_KEYS)
def test_relative_that_transformers_has_is_asked_for_in_its_form(name: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        canonical(dict.fromkeys(TELLING_KEYS[name], torch.zeros(1)))
    is_told = f"expected {name} as a Hugging Face folder or by its name on the Hub" in str(caught.value)
    assert is_told == (name in IN_TRANSFORMERS)


def test_relative_is_named_even_when_most_keys_are_those_of_detr() -> None:
    state = official_state() | {"transformer.decoder.layers.0.ca_qcontent_proj.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="Conditional DETR"):
        canonical(state)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_relative_is_named_by_its_configuration(model_type: str) -> None:
    with pytest.raises(CheckpointError, match="model_type"):
        refuse_relative((), {"model_type": model_type})


@pytest.mark.parametrize("model_type", ["detr", "table-transformer", 3, None])
def test_detr_itself_is_let_through_by_its_configuration(model_type: object) -> None:
    refuse_relative((), {"model_type": model_type})


def test_no_dialect_of_detr_is_taken_for_a_relative() -> None:
    state = official_state(positions="learned", pre_norm=True)
    dialects = (prefixed(state, "detr.") | mask_head(), notebook_state(), hugging_face_state(state, is_v5=True))
    assert [relative_of(keys) for keys in dialects] == [None, None, None]
