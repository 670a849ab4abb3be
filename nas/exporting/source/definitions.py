"""The text of what model.py needs and torch has no module or function for, by name."""

from __future__ import annotations

DEFINITIONS: dict[str, str] = {}
"""Each with its name and one docstring; what a text calls beside torch must be in it."""

DEFINITIONS["BlurPool"] = '''\
class BlurPool(nn.Module):
    """Fixed binomial filter and subsampling, channel by channel (Zhang 2019)."""

    def __init__(self, channels: int, kernel_size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        super().__init__()
        weights = torch.ones(())
        for size in kernel_size:
            row = torch.tensor([float(math.comb(size - 1, i)) for i in range(size)])
            weights = weights[..., None] * (row / row.sum())
        self.register_buffer("filter", weights.expand(channels, 1, *kernel_size).clone())
        self.stride = stride
        self.padding = [side for size in reversed(kernel_size) for side in ((size - 1) // 2, (size - 1) // 2)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *map) -> (B, C, *map / stride, rounded up)."""
        x = F.pad(x, self.padding, mode="reflect")
        conv = (F.conv1d, F.conv2d, F.conv3d)[len(self.stride) - 1]
        return conv(x, self.filter, stride=self.stride, groups=self.filter.shape[0])
'''

DEFINITIONS["MapLayerNorm"] = '''\
class MapLayerNorm(nn.LayerNorm):
    """Layer normalisation over the channels of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *map) -> (B, C, *map)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
'''

DEFINITIONS["LayerScale"] = '''\
class LayerScale(nn.Module):
    """A learned factor for each channel (Touvron et al. 2021)."""

    def __init__(self, channels: int, initial: float, map_dims: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))
        self.map_dims = map_dims

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *map) or (B, N, C) -> the same."""
        return x * self.weight.view(-1, *(1,) * self.map_dims)
'''

DEFINITIONS["DropPath"] = '''\
class DropPath(nn.Module):
    """In training, zero for whole examples with probability `p` (Huang et al. 2016)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)."""
        if not self.training:
            return x
        keep = x.new_empty((x.shape[0], *(1,) * (x.dim() - 1))).bernoulli_(1 - self.p)
        return x * keep / (1 - self.p)
'''

DEFINITIONS["ClassToken"] = '''\
class ClassToken(nn.Module):
    """One learned token before the others."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N + 1, C)."""
        return torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1)
'''

DEFINITIONS["PositionEmbedding"] = '''\
class PositionEmbedding(nn.Module):
    """A learned vector for each position, added to its token."""

    def __init__(self, tokens: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, tokens, features))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return x + self.weight
'''

DEFINITIONS["MultiHeadAttention"] = '''\
class MultiHeadAttention(nn.Module):
    """Attention among tokens, from queries, keys and values side by side (Vaswani et al. 2017)."""

    def __init__(self, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads

    def forward(self, qkv: Tensor) -> Tensor:
        """(B, N, 3 C) -> (B, N, C)."""
        batch, tokens, features = qkv.shape
        split = qkv.view(batch, tokens, 3, self.num_heads, features // (3 * self.num_heads))
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, features // 3)
'''

DEFINITIONS["crop"] = '''\
def crop(x: Tensor, like: Tensor) -> Tensor:
    """Return the middle of a map, as large as another."""
    for dim in range(2, x.dim()):
        x = x.narrow(dim, (x.shape[dim] - like.shape[dim]) // 2, like.shape[dim])
    return x
'''

DEFINITIONS["pad_channels"] = '''\
def pad_channels(x: Tensor, channels: int, stride: int) -> Tensor:
    """Return every `stride`-th position, with zeros for new channels behind the others."""
    for dim in range(2, x.dim()):
        x = x[(slice(None),) * dim + (slice(None, None, stride),)]
    return F.pad(x, [0, 0] * (x.dim() - 2) + [0, channels - x.shape[1]])
'''

DEFINITIONS["shuffle_channels"] = '''\
def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Deal the channels out among groups (Zhang et al. 2018)."""
    batch, channels, *size = x.shape
    return x.reshape(batch, groups, channels // groups, *size).transpose(1, 2).reshape(x.shape)
'''

DEFINITIONS["zeros"] = '''\
def zeros(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return zeros of a shape for each example of `x`."""
    return x.new_zeros((x.shape[0], *shape))
'''
