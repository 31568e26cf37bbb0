"""What fine-tuning must keep of kernels: their zeros, and the values that their weights share.

After every step, zeros are made zero again, and weights that shared a value share the mean of what
the step made of them. That is a step of gradient descent on the shared values, by the mean of their
weights' gradients, with every weight's place among them fixed (Han et al., ICLR 2016, section 3).

tfmot's schemes for this (PQAT, CQAT, PCQAT; `preserve_sparsity`) take masks and numbers of values
from the weights that a model has when it is wrapped, so that no traced graph serves another family;
they leave embeddings and attention free, and add up a value's gradients, which diverges (see
`clustering`).
"""

import numpy as np
import tensorflow as tf


class KeptStructure:
    """Zeros and shared values of some kernels; traced once, told the kernels' values anew.

    Args:
      kernels: the variables.
      clusters: values that each shares, at most; 0: none, only zeros are kept.
    """

    def __init__(self, kernels: list[tf.Variable], clusters: int = 0):
        self._kernels, self._clusters = kernels, clusters
        size = [kernel.shape.num_elements() for kernel in kernels]
        kind = tf.int32 if clusters else tf.float32
        self._kept = [tf.Variable(tf.zeros([n], kind), trainable=False) for n in size]

    def hold(self) -> None:
        """Keep what the kernels have now.

        Raises:
          ValueError: for a kernel of more values than there are clusters.
        """
        for kernel, kept in zip(self._kernels, self._kept, strict=True):
            flat = kernel.numpy().reshape(-1)
            if not self._clusters:
                kept.assign(np.float32(flat != 0))
                continue
            values, index = np.unique(flat, return_inverse=True)
            if len(values) > self._clusters:
                raise ValueError(
                    f"{kernel.name}: has {len(values)} values, not {self._clusters}; cluster first."
                )
            zero = np.flatnonzero(values == 0)  # an index that no segment has is zero
            kept.assign(np.int32(np.where(index == zero[0], -1, index) if len(zero) else index))

    def put_back(self) -> None:
        """Give the kernels what they must keep; in a graph, after every step."""
        for kernel, kept in zip(self._kernels, self._kept, strict=True):
            flat = tf.reshape(kernel, [-1])
            values = self._shared(flat, kept) if self._clusters else flat * kept
            kernel.assign(tf.reshape(values, kernel.shape))

    def _shared(self, flat: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        means = tf.math.unsorted_segment_mean(flat, index, self._clusters)
        return tf.where(index < 0, 0.0, tf.gather(means, tf.maximum(index, 0)))
