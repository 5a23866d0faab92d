"""Frozen weights in the precision that autocast computes in, converted once instead of at every use."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

_KEPT = "_converted"


@dataclass(frozen=True, eq=False)
class _Converted:
    """A layer's weight and bias in another precision, and what they were made of."""

    of: Tensor
    state: tuple[object, ...]
    """Its device, and how often weight and bias had been written; and the precision."""
    weight: Tensor
    bias: Tensor | None

    def __deepcopy__(self, memo: dict[int, object]) -> None:
        """A copied layer begins without: copies are made to be changed."""
        return


def weights(layer: nn.Linear) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a layer; of a frozen one as autocast would convert them at this place, to the same bits.

    autocast itself remembers conversions only of weights that learn. The copies take half of the weights' memory.
    """
    weight: Tensor = layer.weight
    bias: Tensor | None = layer.bias  # timm allows none, whatever nn.Linear's annotation says
    kind = weight.device.type
    plain = weight.requires_grad or weight.is_inference() or weight.dtype != torch.float32
    if plain or not torch.is_autocast_enabled(kind):
        return weight, bias
    precision = torch.get_autocast_dtype(kind)
    state = (weight.device, weight._version, None if bias is None else bias._version, precision)
    found: _Converted | None = layer.__dict__.get(_KEPT)
    if found is None or found.of is not weight or found.state != state:
        # Made in inference mode they could not be used where gradients pass.
        with torch.inference_mode(False), torch.no_grad():
            converted = None if bias is None else bias.to(precision)
            found = _Converted(weight, state, weight.to(precision), converted)
        layer.__dict__[_KEPT] = found
    return found.weight, found.bias
