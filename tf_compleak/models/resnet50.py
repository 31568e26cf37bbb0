"""ResNet-50 (He et al., CVPR 2016, table 1): 3, 4, 6, 3 bottleneck blocks, widths 4w to 32w.

Images with sides below 128 (32x32, 64x64) get the small-image stem, one 3x3 convolution; larger
ones (224x224) the paper's, a 7x7 convolution and a pool, stride 2 each.

Trainable parameters at width 64, equal to the published ones: 23,520,842 with the small-image stem
and 10 classes (kuangliu/pytorch-cifar), 25,557,032 at 224x224 and 1000 classes (torchvision).
Moving averages of the normalization come on top: 53,120 in both.
"""

from tf_compleak.models import fixed_depth

DEPTH, WIDTH = 50, 64


def check(spec) -> None:
    """ValueError for another depth than 50."""
    fixed_depth(spec, DEPTH)


def build(spec, seed: int):
    """Logits of [N, H, W, channels]."""
    from tf_compleak.models import _blocks as b

    return b.residual_net(spec, seed, (3, 4, 6, 3), b.bottleneck_block)
