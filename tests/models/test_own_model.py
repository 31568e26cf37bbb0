"""Models that users build: twins in logits, their own loss and optimizer, what is refused."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from test_training import blobs

from tf_compleak.compression import Tuning, compress, left_alone, recipes
from tf_compleak.engine import user_code
from tf_compleak.inference.interpreter import TFLiteModel
from tf_compleak.models import ModelSpec, build, own_model, training
from tf_compleak.models.trainer import Optimization
from tf_compleak.types import seeds

HEAD = "import tf_keras\nfrom tf_keras import layers\nimport tensorflow as tf\n"
PLAIN = """
def build(input_shape, classes):
    return tf_keras.Sequential([
        layers.Input(input_shape),
        layers.Conv2D(4, 3, padding="same"),
        layers.BatchNormalization(scale=False),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(8, activation="relu"),
        layers.BatchNormalization(),
        layers.Dense(classes{end}),
    ])
"""
COMPILED = """
def build(input_shape, classes):
    x = inputs = layers.Input(input_shape)
    x = layers.Dense(classes{end})(layers.Flatten()(x))
    model = tf_keras.Model(inputs, x)
    model.compile({compiled})
    return model
"""
SOFTMAX = ', activation="softmax"'


@pytest.fixture
def spec(tmp_path):
    def of(text, name="build", shape=(8, 8, 1)):
        (tmp_path / "mine.py").write_text(HEAD + text)
        code = user_code.read("--family", f"{tmp_path}/mine.py:{name}")
        return ModelSpec("", 0, 0, shape, 3, code=code)

    return of


def fit(spec, seed=0, epochs=4, **more):
    optimization = Optimization(epochs, 16, 0.05, loss=own_model.loss_of(spec))
    arguments = (blobs(), blobs(seed=1), seeds.generator(seed, "train"))
    return training.train(spec, optimization, *arguments, **more)


@pytest.mark.parametrize("end", ["", SOFTMAX, ', activation="log_softmax"'])
def test_a_twin_ends_in_logits_and_has_the_weights_and_names_of_the_model(spec, end):
    spec_ = spec(PLAIN.format(end=end))
    model, twin = own_model.of_user(spec_, 3), build(spec_, 3)
    x, _ = blobs(20)
    emitted = {"": lambda z: z, SOFTMAX: tf_keras.activations.softmax}
    change = emitted.get(end, tf.nn.log_softmax)
    np.testing.assert_allclose(model(x), change(twin(x)), atol=1e-6)
    assert twin.layers[-1].activation is tf_keras.activations.linear
    again = build(spec_, 3)
    assert [v.name for v in twin.weights] == [v.name for v in again.weights]
    for one, other in zip(twin.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(build(spec_, 4).get_weights()[0], twin.get_weights()[0])


def test_a_softmax_layer_at_the_end_is_taken_off(spec):
    text = PLAIN.format(end="").replace("    ])", "        layers.Softmax(),\n    ])")
    twin = build(spec(text))
    assert np.ptp(twin(blobs(5)[0]).numpy().sum(axis=1)) > 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.format(end=', activation="sigmoid"'), "ends in sigmoid; end it in softmax"),
        (PLAIN.format(end="+ 1"), r"outputs of shape \(None, 4\), the data needs \(None, 3\)"),
        ("def build(s, c): return 3", "returned a builtins.int; return a tf_keras model"),
        ("def build(s, c): return c / 0", "mine.py:4: ZeroDivisionError"),
        (
            "class M(tf_keras.Model):\n  pass\ndef build(s, c): return M()",
            "subclassed model, which no recipe can copy",
        ),
        (
            "def build(s, c):\n  x = i = layers.Input(s)\n  x = layers.Flatten()(x)\n"
            "  x = layers.Dense(c)(x)\n  x = layers.Lambda(tf.nn.softmax)(x)\n"
            "  return tf_keras.Model(i, x)",
            "outputs are probabilities, but its last layer is no softmax",
        ),
        (
            "class L(layers.Layer):\n  def get_config(self): raise NotImplementedError('none')\n"
            "def build(s, c): return tf_keras.Sequential([layers.Input(s), L(), "
            "layers.Flatten(), layers.Dense(c)])",
            "cannot be copied .*get_config",
        ),
    ],
)
def test_models_that_recipes_cannot_take_are_refused_in_one_line(spec, text, message):
    with pytest.raises(ValueError, match=message) as error:
        own_model.is_compiled(spec(text))
    assert "\n" not in str(error.value) and "mine.py" in str(error.value)


NESTED = """
def build(input_shape, classes):
    inner = tf_keras.Sequential([
        layers.Input(input_shape),
        layers.Conv2D(4, 3, padding="same", name="first"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.5),
    ])
    i = layers.Input((8, 8, 4))
    branch = tf_keras.Model(i, layers.Add()([layers.ReLU()(i), layers.Conv2D(4, 1)(i)]))
    head = tf_keras.Sequential([layers.Flatten(), layers.Dense(classes, activation="softmax")])
    x = inputs = layers.Input(input_shape)
    return tf_keras.Model(inputs, head(branch(inner(x{how}))))
"""


@pytest.mark.parametrize("how", ["", ", training=False"])
def test_models_inside_models_are_laid_open(spec, how):
    """So that recipes reach their kernels; a backbone that is frozen stays so."""
    spec_ = spec(NESTED.format(how=how))
    model, twin = own_model.of_user(spec_, 3), build(spec_, 3)
    x, _ = blobs(20)
    np.testing.assert_allclose(model(x), tf.nn.softmax(twin(x)), atol=1e-6)
    kinds = [type(layer).__name__ for layer in twin.layers]
    assert kinds.count("Conv2D") == 2 and not {"Sequential", "Functional"} & set(kinds)
    assert left_alone(recipes.parse("pruning-0.60"), spec_).kernels == ()
    twin(x, training=True)
    moved = np.ptp(twin.get_layer("norm").moving_mean.numpy()) > 0
    assert moved != bool(how)
    own_model.move(twin, model)
    np.testing.assert_allclose(model(x), tf.nn.softmax(twin(x)), atol=1e-6)


def test_a_layer_that_tfmot_replaces_is_named(spec):
    text = PLAIN.format(end="").replace("layers.Conv2D(4, 3,", "layers.SeparableConv2D(4, 3,")
    spec_ = spec(text.replace("layers.BatchNormalization(),", ""))
    tuning = Tuning(*[Optimization(1, 16, 1e-3)] * 3)
    weights, rng = build(spec_).get_weights(), seeds.generator(0, "version")
    with pytest.raises(ValueError, match="replaces the layer of separable_conv2d/depthwise_kernel"):
        compress(recipes.parse("int8-qat"), weights, spec_, tuning, blobs(), blobs()[0], rng)


def test_a_keras_3_model_is_refused_with_the_way_out(spec):
    text = "import keras\ndef build(s, c): return keras.Sequential()"
    with pytest.raises(ValueError, match=r"Keras 2.*in a method make"):
        own_model.is_compiled(spec(text))


def test_a_model_that_is_not_compiled_is_trained_as_ours_warm_or_cold(spec):
    """Dropout begins anew with every training, whatever the process has traced before."""
    spec_ = spec(PLAIN.format(end=SOFTMAX))
    training._trainer.cache_clear()
    cold, history = fit(spec_, epochs=8)
    fit(spec_, seed=5, epochs=1)
    warm, _ = fit(spec_, epochs=8)
    for one, other in zip(cold, warm, strict=True):
        np.testing.assert_array_equal(one, other)
    assert max(accuracy for _, accuracy in history) > 0.8


def test_a_compiled_model_is_trained_by_its_own_loss_and_optimizer(spec):
    """An optimizer of rate 0 leaves the weights; a regularizer of the layers' is its own, too."""
    still = COMPILED.format(end="", compiled='"sgd", loss="mse"').replace(
        "return model", "model.optimizer.learning_rate = 0.0; return model"
    )
    weights, _ = fit(spec(still))
    start = build(spec(still), int(seeds.generator(0, "train").integers(2**30))).get_weights()
    for one, other in zip(weights, start, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="--augmentation=flip: the model of --family is compiled"):
        fit(spec(still), augmentation=("flip",))


@pytest.mark.parametrize("kind", ["", "legacy."])
def test_a_schedule_of_its_own_goes_on_from_epoch_to_epoch(spec, kind):
    decay = "tf_keras.optimizers.schedules.ExponentialDecay(0.1, 8, 0.5)"
    compiled = f'tf_keras.optimizers.{kind}SGD({decay}), "sparse_categorical_crossentropy"'
    _, history = fit(spec(COMPILED.format(end=SOFTMAX, compiled=compiled)))
    rates = [epoch.learning_rate for epoch, _ in history]  # 8 steps an epoch
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.025, 0.0125], rtol=0.1)


LOSSES = {
    '"adam", "sparse_categorical_crossentropy"': SOFTMAX,
    '"adam", "categorical_crossentropy"': SOFTMAX,
    '"adam", tf_keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1)': "",
    '"adam", lambda y, p: tf.nn.sparse_softmax_cross_entropy_with_logits('
    "tf.reshape(tf.cast(y, tf.int32), [-1]), p)": "",
}


@pytest.mark.parametrize(("compiled", "end"), LOSSES.items())
def test_losses_get_the_labels_that_they_take_in_training_and_fine_tuning(spec, compiled, end):
    spec_ = spec(COMPILED.format(end=end, compiled=compiled.replace('"adam"', "'adam'")))
    weights, history = fit(spec_, epochs=25)
    assert history[-1][0].accuracy > 0.6
    logits = build(spec_)
    logits.set_weights(weights)
    x, y = blobs()
    loss = own_model.loss_of(spec_).function()(y, logits(x))
    model = own_model.of_user(spec_, 0)
    own_model.move(logits, model)
    labels = np.eye(3)[y] if '"categorical' in compiled or "Categorical" in compiled else y
    assert abs(float(loss) - float(model.evaluate(x, labels, verbose=0))) < 1e-4


def test_what_the_users_train_leaves_is_taken_from_its_model(spec):
    own = """
class Own:
    build = staticmethod(build)
    def train(self, model, members, validation, seed):
        {train}
"""
    text = PLAIN.format(end=SOFTMAX) + own
    train = (
        "model.compile('adam', 'sparse_categorical_crossentropy'); "
        "model.fit(*members, epochs=20, verbose=0)"
    )
    _, accuracy = own_model.trained(
        spec(text.format(train=train), "Own"), blobs(), blobs(seed=1), 5
    )
    assert accuracy > 0.8
    for train, message in (
        ("model.layers[0].bias.assign([float('nan')] * 4)", "after train, .*bias.* is NaN"),
        ("return 3", "returned a builtins.int"),
        ("raise OSError('gone')", r"mine.py:\d+: OSError: gone"),
    ):
        with pytest.raises(ValueError, match=message):
            own_model.trained(spec(text.format(train=train), "Own"), blobs(), blobs(seed=1), 5)


@pytest.mark.slow
@pytest.mark.parametrize("normalized", [True, False])
def test_every_recipe_takes_a_users_model(spec, tmp_path, normalized):
    """But quantization-aware training a normalization after a dense layer, which tfmot cannot."""
    text = PLAIN.format(end=SOFTMAX)
    spec_ = spec(text if normalized else text.replace("layers.BatchNormalization(),", ""))
    x, y = blobs(480)
    optimization, rng = Optimization(10, 16, 0.05), seeds.generator(0, "train")
    weights, _ = training.train(spec_, optimization, (x, y), blobs(seed=1), rng)
    loss = own_model.loss_of(spec_)
    tuning = Tuning(*(Optimization(6, 16, rate, loss=loss) for rate in (1e-2, 1e-3, 1e-3)))
    names = set(recipes.ALL) - {"int8-qat"} if normalized else ("original", "int8-qat")
    for name in names:
        rng = seeds.generator(0, "version", name)
        content = compress(recipes.parse(name), weights, spec_, tuning, (x, y), x[:50], rng)
        (tmp_path / "model.tflite").write_bytes(content)
        said = TFLiteModel(str(tmp_path / "model.tflite")).predict(x)
        np.testing.assert_allclose(said.sum(axis=1), 1, atol=0.05)
        assert (said.argmax(axis=1) == y).mean() > 0.7 or name == "pruning-0.90", name
