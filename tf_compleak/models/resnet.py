"""ResNet for small images (He et al., CVPR 2016, section 4.2): depth 6n + 2, three stages.

Shortcuts that change shape are 1x1 convolutions with batch normalization (option B). The paper's
CIFAR nets have width 16: ResNet-20 then has 0.27 M parameters. Widths w, 2w, 4w.
"""

DEPTH, WIDTH = 8, 16


def check(spec) -> None:
    """ValueError unless the depth is 8, 14, 20, ..."""
    if spec.depth < 8 or (spec.depth - 2) % 6:
        raise ValueError(
            f"--depth: a ResNet for small images has depth 6n + 2 (8, 14, 20, 32, ...), "
            f"got {spec.depth}."
        )


def build(spec, seed: int):
    """Logits of [N, H, W, channels]; halved at the start of stages 2 and 3."""
    from tf_compleak.models import _blocks as b

    return b.residual_net(spec, seed, [(spec.depth - 2) // 6] * 3, b.basic_block)
