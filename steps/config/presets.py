"""Networks by name, for `model: {preset: NAME}`."""

from typing import Any

# The student project's DFCNN, layer for layer, save for the ReLU on its logits.
DFCNN = {
    "blocks": [
        {"channels": 64, "layers": 2, "pool": 2},
        {"channels": 128, "layers": 2, "pool": 2},
        {"channels": 256, "layers": 3, "pool": 2},
        {"channels": 512, "layers": 3},
        {"channels": 512, "layers": 3},
    ],
    "final_norm": True,
    "dense": [4096, 4096],
}

# The same stack at a quarter of its widths: trains on two cores.
DFCNN_SMALL = {
    "blocks": [
        {"channels": 16, "layers": 2, "pool": 2},
        {"channels": 32, "layers": 2, "pool": 2},
        {"channels": 64, "layers": 3, "pool": 2},
        {"channels": 128, "layers": 3},
        {"channels": 128, "layers": 3},
    ],
    "final_norm": True,
    "dense": [256],
}

# A stem that leaves full resolution at once, then residual units (He et al. 2016).
RESNET_SMALL = {
    "blocks": [
        {"channels": 16, "layers": 1, "stride": 2},
        {"channels": 32, "layers": 2, "residual": True},
        {"channels": 64, "layers": 2, "stride": 2, "residual": True},
        {"channels": 128, "layers": 2, "stride": 2, "residual": True},
    ],
    "final_norm": False,
    "dense": [256],
}

PRESETS = {"dfcnn": DFCNN, "dfcnn_small": DFCNN_SMALL, "resnet_small": RESNET_SMALL}


def expand_preset(model: dict[str, Any]) -> dict[str, Any]:
    """The keys of `model` over those of the preset that it names.

    Raises ValueError where no preset of that name exists.
    """
    name = model.get("preset")
    if name is None:
        return model
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return {**PRESETS[name], **model}
