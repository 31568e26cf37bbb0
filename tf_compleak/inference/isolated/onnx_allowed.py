"""Operations that an ONNX file may hold, by domain: they compute, and touch no files.

Not among them is whatever runs a graph for another device that lies in a file or in a blob of its
own (`EPContext`, `Snpe`), decodes images, takes texts apart, or generates them.
"""

OPERATIONS = {
    "": frozenset(  # of ONNX itself, up to opset 28
        (
            "Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention "
            "AveragePool BatchNormalization Bernoulli BitCast BitShift BitwiseAnd BitwiseNot "
            "BitwiseOr BitwiseXor BlackmanWindow Cast CastLike CausalConvWithState Ceil Celu "
            "CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant "
            "ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumProd CumSum DFT "
            "DeformConv DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear "
            "Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements "
            "GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater "
            "GreaterOrEqual GridSample GroupNormalization HammingWindow HannWindow HardSigmoid "
            "HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM "
            "LayerNormalization LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax Loop "
            "LpNormalization LpPool MatMul MatMulInteger Max MaxPool MaxRoiPool MaxUnpool Mean "
            "MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg "
            "NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Optional "
            "OptionalGetElement OptionalHasElement Or PRelu Pad Pow QLinearConv QLinearMatMul "
            "QuantizeLinear RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform "
            "RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
            "ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape "
            "Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT Scan Scatter "
            "ScatterElements ScatterND Selu SequenceAt SequenceConstruct SequenceEmpty "
            "SequenceErase SequenceInsert SequenceLength SequenceMap Shape Shrink Sigmoid Sign "
            "SimplifiedLayerNormalization Sin Sinh Size Slice Softmax SoftmaxCrossEntropyLoss "
            "Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze Sub Sum SwiGLU "
            "Swish Tan Tanh TensorScatter TfIdfVectorizer ThresholdedRelu Tile TopK Transpose "
            "Trilu Unique Unsqueeze Upsample Where Xor "
        ).split()
    ),
    "ai.onnx.ml": frozenset(  # trees, linear models
        (
            "ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer "
            "FeatureVectorizer Imputer LabelEncoder LinearClassifier LinearRegressor Normalizer "
            "OneHotEncoder SVMClassifier SVMRegressor Scaler TreeEnsemble TreeEnsembleClassifier "
            "TreeEnsembleRegressor ZipMap "
        ).split()
    ),
    "com.microsoft": frozenset(  # what onnxruntime's quantizer and optimizer write
        (
            "Attention BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu CDist "
            "ConvTransposeWithDynamicPads CropAndResize DequantizeLinear DynamicQuantizeLSTM "
            "DynamicQuantizeMatMul EmbedLayerNormalization ExpandDims FastGelu FusedConv "
            "FusedGemm FusedMatMul FusedMatMulActivation GatherBlockQuantized GatherND Gelu "
            "GemmFastGelu GridSample GroupNorm GroupQueryAttention Inverse MatMulBnb4 MatMulFpQ4 "
            "MatMulInteger16 MatMulIntegerToFloat MatMulNBits MulInteger MultiHeadAttention "
            "NhwcConv NhwcFusedConv NhwcMaxPool Pad QAttention QEmbedLayerNormalization QGemm "
            "QLinearAdd QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool "
            "QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax "
            "QLinearWhere QMoE QuantizeLinear QuickGelu Range ReduceSumInteger "
            "RelativePositionBias RemovePadding RestorePadding RotaryEmbedding SkipGroupNorm "
            "SkipLayerNormalization SkipSimplifiedLayerNormalization TransposeMatMul Trilu Unique "
            "WordConvEmbedding "
        ).split()
    ),
    "com.microsoft.nchwc": frozenset(  # the optimizer's own layout
        (
            "AveragePool Conv GlobalAveragePool GlobalMaxPool MaxPool ReorderInput ReorderOutput "
            "Upsample "
        ).split()
    ),
}
