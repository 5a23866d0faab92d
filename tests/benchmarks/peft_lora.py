"""Our training written with Hugging Face's peft on the same timm model: what training_speed compares with.

timm keeps q, k and v in one Linear; peft adapts whole Linears, so they are split into three first, with equal weights,
as Hugging Face's own ViT has them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from timm import create_model
from timm.layers import resample_abs_pos_embed
from torch import Tensor, nn

from core.backbones.preprocessing import Preprocessing
from core.backbones.weights import load_dinov2_s14
from core.config import RunConfig
from core.training.device import Precision, autocast
from core.training.loop import _rate, steps_for


class SplitAttention(nn.Module):
    """timm's attention with one Linear each for q, k and v."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.heads = attention.num_heads
        width = attention.proj.in_features
        self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        weights, biases = attention.qkv.weight.data.chunk(3), attention.qkv.bias.data.chunk(3)
        for linear, weight, bias in zip((self.q, self.k, self.v), weights, biases, strict=True):
            linear.weight.data, linear.bias.data = weight.clone(), bias.clone()
        self.proj = attention.proj

    def forward(self, x: Tensor, **ignored: object) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = (linear(x).view(n, tokens, self.heads, -1).transpose(1, 2) for linear in (self.q, self.k, self.v))
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))


def peft_model(config: RunConfig, blocks: tuple[int, ...], classes: int, size: int) -> nn.Module:
    """DINOv2 ViT-S/14 with LoRA at q and v of `blocks`, and a linear head that starts at zero."""
    model = create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=size)
    weights = load_dinov2_s14()
    weights["pos_embed"] = resample_abs_pos_embed(weights["pos_embed"], new_size=[size // 14] * 2, num_prefix_tokens=1)
    model.load_state_dict(weights)
    for block in model.blocks:
        block.attn = SplitAttention(block.attn)
    model.head = nn.Linear(model.num_features, classes)
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    rank = config.adapters.rank
    places = "|".join(map(str, blocks))
    lora = LoraConfig(
        r=rank,
        lora_alpha=rank * config.adapters.alpha,
        target_modules=rf".*blocks\.({places})\.attn\.(q|v)",
        modules_to_save=["head"],
    )
    return get_peft_model(model, lora)


def train_peft(
    model: nn.Module,
    pixels: Tensor,
    labels: Tensor,
    preprocessing: Preprocessing,
    config: RunConfig,
    precision: Precision,
) -> None:
    """The usual loop with a whole forward pass per batch; optimiser, schedule, clipping and batches are ours."""
    settings = config.training
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    steps = steps_for(len(labels), settings)
    optimiser = torch.optim.AdamW(parameters, lr=settings.rate(len(labels)), weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps, settings.warmup_steps))
    generator = torch.Generator().manual_seed(config.seed)
    model.train()
    for _ in range(settings.passes(len(labels))):
        for rows in torch.randperm(len(labels), generator=generator).split(settings.batch_size):
            images = preprocessing.normalise(pixels[rows].to(labels.device))
            with autocast(labels.device, precision):
                loss = F.cross_entropy(model(images).float(), labels[rows.to(labels.device)])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
            optimiser.step()
            schedule.step()
    model.eval()
