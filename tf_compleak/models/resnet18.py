"""ResNet-18 (He et al., CVPR 2016, table 1): four stages of two basic blocks, widths w to 8w.

Images with sides below 128 (32x32, 64x64) get the small-image stem, one 3x3 convolution; larger
ones (224x224) the paper's, a 7x7 convolution and a pool, stride 2 each.

Trainable parameters at width 64, equal to the published ones: 11,173,962 with the small-image stem
and 10 classes (11.17 M, kuangliu/pytorch-cifar), 11,689,512 at 224x224 and 1000 classes
(torchvision). Moving averages of the normalization come on top: 9,600 in both.
"""

from tf_compleak.models import fixed_depth

DEPTH, WIDTH = 18, 64


def check(spec) -> None:
    """ValueError for another depth than 18."""
    fixed_depth(spec, DEPTH)


def build(spec, seed: int):
    """Logits of [N, H, W, channels]."""
    from tf_compleak.models import _blocks as b

    return b.residual_net(spec, seed, (2, 2, 2, 2), b.basic_block)
