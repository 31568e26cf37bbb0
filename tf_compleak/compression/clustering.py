"""Weight clustering with tfmot: wrapped and traced once per architecture and number of clusters.

Only layers that own a kernel are wrapped: `ClusterWeights.call` drops `training`, so that a wrapped
batch normalization would never update. Centroid gradients are averaged over their cluster, not
summed: the sum drives the accuracy to chance at any usual learning rate.
"""

from collections.abc import Callable

import numpy as np
import tensorflow_model_optimization as tfmot
from tensorflow_model_optimization.python.core.clustering.keras import (
    clustering_centroids as centroids,
)
from tensorflow_model_optimization.python.core.clustering.keras.cluster_config import (
    GradientAggregation,
)

from tf_compleak.compression import _wrapping
from tf_compleak.compression.kept_structure import KeptStructure
from tf_compleak.compression.recipes import Clustering
from tf_compleak.models import ModelSpec, build
from tf_compleak.models.graph_cache import reuse_graph
from tf_compleak.models.keras2 import keras
from tf_compleak.models.trainer import Epoch, Optimization, Trainer, Weights

PART = 2**20  # weights at a time
INIT = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS


@reuse_graph
def _clusterer(spec: ModelSpec, tuning: Optimization, clusters: int):
    def wrap(layer):
        if not isinstance(layer, _wrapping.KERNEL_LAYERS):
            return layer
        return tfmot.clustering.keras.cluster_weights(
            layer, clusters, INIT, cluster_gradient_aggregation=GradientAggregation.AVG
        )

    model = keras.models.clone_model(build(spec), clone_function=wrap)
    return Trainer(model, tuning), _wrapping.snapshot(model)


def cluster(
    recipe: Clustering,
    weights: Weights,
    spec: ModelSpec,
    tuning: Optimization,
    examples: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Weights:
    """The weights with at most `recipe.clusters` values in every kernel, fine-tuned."""
    trainer, pristine = _clusterer(spec, tuning, recipe.clusters)
    _wrapping.restore(trainer.model, pristine, spec, weights)
    wrappers = [layer for layer in trainer.model.layers if hasattr(layer, "cluster_centroids")]
    for wrapper in wrappers:
        _initialize(wrapper, recipe.clusters)
    for epoch in trainer.epochs(*examples, rng):
        on_epoch(epoch)
    clustered = dict(
        zip(_wrapping.names(spec), _wrapping.base_weights(trainer.model, spec), strict=True)
    )
    for wrapper in wrappers:
        for name, kernel in wrapper.original_clusterable_weights.items():
            clustered[kernel.name] = _nearest(kernel, wrapper.cluster_centroids[name])
    return list(clustered.values())


@reuse_graph
def _keeping_clusterer(spec: ModelSpec, tuning: Optimization, clusters: int):
    model = build(spec)
    structure = KeptStructure(_wrapping.kernel_variables(model, spec), clusters)
    return Trainer(model, tuning, constrain=structure.put_back), structure


def cluster_beside_zeros(
    recipe: Clustering,
    weights: Weights,
    spec: ModelSpec,
    tuning: Optimization,
    examples: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Weights:
    """As `cluster`, of pruned weights: zeros stay, and zero is one of the values.

    The values are those that tfmot's initializer finds beside zero; the weights keep theirs.
    """
    trainer, structure = _keeping_clusterer(spec, tuning, recipe.clusters)
    trainer.model.set_weights(weights)
    make = centroids.CentroidsInitializerFactory.get_centroid_initializer(INIT)
    for kernel in _wrapping.kernel_variables(trainer.model, spec):
        start = make(kernel, recipe.clusters, False, "channels_last", True).get_cluster_centroids()
        kernel.assign(np.where(kernel.numpy() == 0, 0, _nearest(kernel, start)))
    structure.hold()
    for epoch in trainer.epochs(*examples, rng):
        on_epoch(epoch)
    return trainer.model.get_weights()


def _initialize(wrapper, clusters: int) -> None:
    """Centroids of the wrapper's present kernel, by tfmot's own initializer."""
    make = centroids.CentroidsInitializerFactory.get_centroid_initializer(INIT)
    for name, kernel in wrapper.original_clusterable_weights.items():
        start = make(kernel, clusters, False, "channels_last", False).get_cluster_centroids()
        wrapper.cluster_centroids[name].assign(start)


def _nearest(kernel, values) -> np.ndarray:
    """Every weight replaced by its nearest centroid, as tfmot's `strip_clustering` does."""
    kernel, values = kernel.numpy(), values.numpy()
    flat = kernel.reshape(-1)
    parts = (flat[start : start + PART] for start in range(0, len(flat), PART))
    nearest = [np.abs(part[:, None] - values).argmin(axis=-1) for part in parts]
    return values[np.concatenate(nearest)].reshape(kernel.shape)
