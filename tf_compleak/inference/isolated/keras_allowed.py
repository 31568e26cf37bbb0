"""What a Keras config may name: classes by name, functions by name or module. All else is refused.

Not among them is whatever runs code (Lambda, ClassMethod, InstanceMethod, TorchModuleWrapper),
opens files (StringLookup, IntegerLookup, TextVectorization, TFSMLayer) or takes functions (Map,
Scan, Cond, WhileLoop): such names are absent, not listed.
"""

from __future__ import annotations

import re

LAYERS = frozenset(
    (
        "Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average "
        "AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization "
        "SyncBatchNormalization Bidirectional CategoryEncoding CenterCrop Concatenate Conv1D "
        "Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D "
        "ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D "
        "Discretization Dot Dropout ELU EinsumDense Embedding Flatten GRU GRUCell GaussianDropout "
        "GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D "
        "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization "
        "GroupQueryAttention GroupedQueryAttention Identity InputLayer InputSpec LSTM LSTMCell "
        "LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPooling1D "
        "MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU "
        "Permute RMSNormalization RNN RandomBrightness RandomContrast RandomCrop RandomFlip "
        "RandomHeight RandomRotation RandomTranslation RandomWidth RandomZoom ReLU RepeatVector "
        "Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell "
        "Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization "
        "StackedRNNCells Subtract ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D "
        "UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D "
        "Functional Model Sequential"
    ).split()
)
SETTINGS = frozenset(  # initializers, regularizers, constraints, number types
    (
        "Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer "
        "LecunNormal LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform "
        "TruncatedNormal VarianceScaling Zeros L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm "
        "NonNeg UnitNorm DTypePolicy DTypePolicyMap FloatDTypePolicy Policy SeedGenerator "
        "QuantizedDTypePolicy QuantizedFloat8DTypePolicy Int4DTypePolicy AbsMaxQuantizer"
    ).split()
)
OPTIMIZERS = frozenset(
    "Adadelta Adafactor Adagrad Adam AdamW Adamax Ftrl Lamb Lion LossScaleOptimizer Nadam RMSprop "
    "SGD CosineDecay CosineDecayRestarts ExponentialDecay InverseTimeDecay PiecewiseConstantDecay "
    "PolynomialDecay".split()
)
LOSSES = frozenset(  # and metrics: a compiled model within a model keeps them
    (
        "AUC Accuracy BinaryAccuracy BinaryCrossentropy BinaryFocalCrossentropy "
        "CategoricalAccuracy CategoricalCrossentropy CategoricalFocalCrossentropy CategoricalHinge "
        "CosineSimilarity F1Score Hinge Huber KLDivergence LogCosh Mean MeanAbsoluteError "
        "MeanAbsolutePercentageError MeanSquaredError MeanSquaredLogarithmicError Poisson "
        "Precision Recall RootMeanSquaredError SparseCategoricalAccuracy "
        "SparseCategoricalCrossentropy SparseTopKCategoricalAccuracy SquaredHinge "
        "TopKCategoricalAccuracy"
    ).split()
)
OPERATIONS = frozenset(  # classes of keras.ops that compute and take no function
    (
        "Abs Absolute Add All Amax Amin Any Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 "
        "Arctanh Argmax Argmin Argsort Average BroadcastTo Ceil Clip Concatenate Conjugate Copy "
        "Cos Cosh Cross Cumprod Cumsum Diag Diagonal Diff Divide DivideNoNan Dot Einsum Equal Exp "
        "Exp2 ExpandDims Expm1 Flip Floor FloorDivide Full FullLike GetItem Greater GreaterEqual "
        "Hstack Imag Inner Isclose Isfinite Isinf Isnan Less LessEqual Linspace Log Log10 Log1p "
        "Log2 Logaddexp LogicalAnd LogicalNot LogicalOr LogicalXor Matmul Max Maximum Mean Median "
        "Meshgrid Min Minimum Mod Moveaxis Multiply NanToNum Negative NotEqual OnesLike Outer Pad "
        "Power Prod Quantile Ravel Real Reciprocal Repeat Reshape Roll Round Sign Sin Sinh Sort "
        "Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Take TakeAlongAxis Tan Tanh "
        "Tensordot Tile Trace Transpose Tril Triu TrueDivide Trunc Var Vdot Vstack Where ZerosLike "
        "AveragePool BatchNorm Celu Conv ConvTranspose DepthToSpace DepthwiseConv "
        "DotProductAttention Elu Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LayerNorm "
        "LeakyRelu LogSigmoid LogSoftmax MaxPool Moments MultiHot Normalize OneHot RMSNorm Relu "
        "Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus Softsign SpaceToDepth "
        "SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink Threshold Erf Erfinv FFT FFT2 "
        "IFFT2 IRFFT RFFT STFT ISTFT InTopK Logsumexp Rsqrt SegmentMax SegmentSum TopK Cast "
        "ConvertToTensor SaturateCast Scatter ScatterUpdate Slice SliceUpdate StopGradient Unstack "
        "Norm CropImages ExtractPatches PadImages RGBToGrayscale Resize"
    ).split()
)
VALUES = frozenset(
    "__keras_tensor__ __tensor__ __numpy__ __bytes__ __ellipsis__ __slice__ __tuple__ "
    "TensorShape".split()
)
ACTIVATIONS = frozenset(
    (
        "relu relu6 softmax log_softmax sigmoid log_sigmoid hard_sigmoid tanh hard_tanh "
        "tanh_shrink linear elu celu selu gelu glu silu swish hard_silu hard_swish leaky_relu "
        "softplus softsign soft_shrink hard_shrink exponential mish squareplus sparse_plus "
        "sparse_sigmoid sparsemax threshold"
    ).split()
)
CLASSES = LAYERS | SETTINGS | OPTIMIZERS | LOSSES | OPERATIONS | VALUES

MODULES = re.compile(
    r"(tf_)?keras(\.src)?(\.(layers|models|initializers|regularizers|constraints|dtype_policies|"
    r"mixed_precision|activations|engine|optimizers|losses|metrics|random|ops|quantizers)(\.\w+)*)?"
)

# Keras 2 turns operators and TensorFlow functions on its tensors into layers that name them.
FUNCTION_MODULES = re.compile(r"math\.[a-z][a-z0-9_]*")  # of tf.nn some open files: by name
NETWORK = frozenset(
    (
        "atrous_conv2d avg_pool avg_pool1d avg_pool2d avg_pool3d batch_normalization bias_add "
        "conv1d conv1d_transpose conv2d conv2d_transpose conv3d conv3d_transpose convolution "
        "crelu depth_to_space depthwise_conv2d dilation2d dropout elu erosion2d gelu "
        "in_top_k l2_loss l2_normalize leaky_relu local_response_normalization log_softmax lrn "
        "max_pool max_pool1d max_pool2d max_pool3d moments normalize pool relu relu6 selu "
        "separable_conv2d sigmoid silu softmax softmax_cross_entropy_with_logits softplus "
        "softsign space_to_depth swish tanh top_k zero_fraction"
    ).split()
)
PLAIN = frozenset(
    (
        "__operators__.add __operators__.getitem __operators__.eq __operators__.ne abs acos add "
        "argmax argmin argsort batch_to_space boolean_mask broadcast_to cast clip_by_norm "
        "clip_by_value concat cos cosh cumsum divide einsum equal exp expand_dims eye fill floor "
        "gather gather_nd greater greater_equal identity image.resize image.rgb_to_grayscale "
        "less less_equal linalg.diag linalg.einsum linalg.l2_normalize linalg.matmul "
        "linalg.matrix_transpose linalg.norm linalg.trace logical_and logical_not logical_or "
        "matmul maximum minimum multiply negative norm not_equal one_hot ones ones_like pad pow "
        "range rank realdiv reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean "
        "reduce_min reduce_prod reduce_sum repeat reshape reverse roll round shape sigmoid sign "
        "sin sinh size slice sort space_to_batch split sqrt square squeeze stack stop_gradient "
        "strided_slice subtract tan tanh tensordot tile transpose truediv unstack where zeros "
        "zeros_like"
    ).split()
)
FUNCTIONS = PLAIN | {f"keras.activations.{name}" for name in ACTIVATIONS}
FUNCTIONS |= {f"nn.{name}" for name in NETWORK}


def function(name: str) -> bool:
    """Whether a TensorFlow function that a Keras 2 config names may be called."""
    return name in FUNCTIONS or bool(FUNCTION_MODULES.fullmatch(name))
