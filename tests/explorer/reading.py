"""A page read back as its scripts read it, by other code than wrote it."""

import base64
import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detr_attnviz.explorer.page import Page

Array = NDArray[Any]


class ReadPage:
    """The document of a page and the arrays in its tags."""

    def __init__(self, page: Page) -> None:
        self.text = page.html.decode()
        tags = re.findall(r'<script type="application/octet-stream" id="(\w+)">([^<]*)</script>', self.text)
        self.data = {name: base64.b64decode(data, validate=True) for name, data in tags}
        assert len(self.data) == len(tags)
        found = re.findall(r'<script type="application/json" id="document">(.*?)</script>', self.text, re.DOTALL)
        assert len(found) == 1
        self.document = json.loads(found[0], parse_constant=_refuse)

    @property
    def picture(self) -> Any:
        return self.document["pictures"][0]

    def sites(self, kind: str) -> Any:
        return self.picture["kinds"][kind]

    def array(self, entry: Any) -> Array:
        dtype = np.dtype(entry["dtype"]).newbyteorder("<")
        return np.frombuffer(self.data[entry["id"]], dtype).reshape(entry["shape"])

    def packed(self, entry: Any) -> Array:
        values = self.array(entry["values"]).astype(np.float64)
        if "scale" not in entry:
            return values
        scale = self.array(entry["scale"])
        return values * scale.reshape(len(scale), *(1,) * (values.ndim - scale.ndim), *scale.shape[1:])

    def logits(self, site: Any, term: str = "") -> Array:
        part = slice(*site["terms"][term]) if term else slice(None)
        query, key = self.packed(site["query"])[..., part], self.packed(site["key"])[..., part]
        logits = site["scale"] * query @ key.transpose(0, 2, 1)
        if site["bias"]:
            logits = logits + self.array(site["bias"])
        return np.where(self.array(site["hidden"]) == 1, -np.inf, logits) if site["hidden"] else logits

    def maps(self, site: Any, term: str = "") -> Array:
        """Dense attention ``[heads queries tokens]``."""
        logits = self.logits(site, term)
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        shown = slice(*site["shown"]) if site["shown"] else slice(None)
        return np.asarray((powers / powers.sum(-1, keepdims=True))[..., shown])

    def places(self, site: Any) -> tuple[Array, Array]:
        """Sampled attention: ``[heads rows samples 2]`` and ``[heads rows samples]``."""
        offsets = self.packed(site["locations"])
        reference = self.array(site["reference"])[None, :, None]
        return offsets.reshape(*offsets.shape[:2], -1, 2) + reference, self.packed(site["weights"])


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def worst(own: Array, true: Array) -> float:
    """The largest difference as a part of the peak along the last axis; where that is 0, so must be the difference."""
    apart, peaks = np.abs(own - true).max(-1), true.max(-1)
    assert (apart[peaks == 0] == 0).all()
    return float((apart[peaks > 0] / peaks[peaks > 0]).max(initial=0.0))
