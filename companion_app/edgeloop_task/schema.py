"""The part of MNN's model format that edgeloop reads: field ids, enums and where operators keep weights.

Source: MNN's schema, `schema/default/{MNN,CaffeOp,TensorflowOp,Tensor,Type,ExtraInfo}.fbs` in the repository alibaba/MNN,
as of MNN 3.6.1. A test has MNN itself name every id that is listed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Net(IntEnum):
    """The root table."""

    BIZ_CODE = 0
    EXTRA_TENSOR_DESCRIBE = 1
    EXTRA_INFO = 2
    OPLISTS = 3
    OUTPUT_NAME = 4
    SOURCE_TYPE = 6
    TENSOR_NAME = 7
    SUBGRAPHS = 10


class ExtraInfo(IntEnum):
    """Who wrote the file."""

    NAME = 1
    VERSION = 2


class TensorDescribe(IntEnum):
    """What is known of a tensor beside its name."""

    INDEX = 1


class SubGraph(IntEnum):
    """The body of a control flow operator."""

    NAME = 0
    INPUTS = 1
    OUTPUTS = 2
    TENSORS = 3
    NODES = 4


class Op(IntEnum):
    """An operator; `MAIN_TYPE` says which table `MAIN` is."""

    INPUT_INDEXES = 0
    MAIN_TYPE = 1
    MAIN = 2
    NAME = 3
    OUTPUT_INDEXES = 4
    TYPE = 5


class Input(IntEnum):
    """The parameter of an Input operator."""

    DIMS = 0
    DTYPE = 1
    DFORMAT = 2


class Convolution2D(IntEnum):
    """The parameter of convolutions, and of matrix products that were converted to them."""

    COMMON = 0
    WEIGHT = 1
    BIAS = 2
    QUAN_PARAMETER = 3
    SYMMETRIC_QUAN = 4
    EXTERNAL = 6


class Convolution2DCommon(IntEnum):
    """The geometry of a convolution."""

    KERNEL_X = 2
    KERNEL_Y = 3
    GROUP = 9
    OUTPUT_COUNT = 10
    INPUT_COUNT = 11


class IDSTQuan(IntEnum):
    """Weights that are not plain float32."""

    BUFFER = 0
    ALPHA = 1
    TYPE = 2
    A_MAX_OR_BITS = 7
    READ_TYPE = 9
    SHAPE_INT32 = 11


class QuantizedFloatParam(IntEnum):
    """Weights and scales of an operator that computes in integers."""

    WEIGHT = 0
    BIAS = 1
    SCALE = 2
    NBITS = 5


class InnerProduct(IntEnum):
    """The parameter of an InnerProduct."""

    WEIGHT = 3
    BIAS = 4
    QUAN_PARAMETER = 7


class Blob(IntEnum):
    """A constant."""

    DIMS = 0
    DATA_TYPE = 2
    UINT8S = 3
    INT8S = 4
    INT32S = 5
    INT64S = 6
    FLOAT32S = 7
    EXTERNAL = 9


class LoopParam(IntEnum):
    """The parameter of a fused loop."""

    COMMANDS = 6


class RegionCommand(IntEnum):
    """One step of a fused loop."""

    OP = 0


class Extra(IntEnum):
    """An operator of a front end that MNN kept as it was."""

    TYPE = 0
    ENGINE = 1
    ATTR = 3


class Attribute(IntEnum):
    """An attribute of an `Extra`."""

    TENSOR = 6


@dataclass(frozen=True)
class WeightFields:
    """Where a parameter table keeps weights: ids of float32 vectors and of `Blob` tables; external sizes stand in `external`."""

    table: str
    floats: tuple[tuple[int, str], ...] = ()
    blobs: tuple[tuple[int, str], ...] = ()
    external: int | None = None


# The union OpParameter: a type's number, and its plain weights. Convolution2D and InnerProduct are read by hand.
PARAMETERS: dict[int, WeightFields] = {
    5: WeightFields(
        "BatchNorm",
        ((1, "slopeData"), (2, "meanData"), (3, "varData"), (4, "biasData"), (5, "Adata"), (6, "Bdata")),
    ),
    7: WeightFields("Blob", external=Blob.EXTERNAL),
    9: WeightFields("Convolution2D", external=Convolution2D.EXTERNAL),
    20: WeightFields("InnerProduct"),
    21: WeightFields("Input"),
    24: WeightFields("LSTM", blobs=((3, "weightI"), (4, "weightH"), (5, "bias"), (6, "weightIQ"), (7, "weightIA"))),
    25: WeightFields("MatMul", ((3, "weight"), (4, "bias"))),
    27: WeightFields("Normalize", ((3, "scale"),)),
    32: WeightFields("PRelu", ((1, "slope"),)),
    58: WeightFields("Scale", ((1, "scaleData"), (2, "biasData")), external=3),
    72: WeightFields(
        "RNNParam",
        blobs=(
            (4, "fwGateWeight"),
            (5, "fwGateBias"),
            (6, "fwCandidateWeight"),
            (7, "fwCandidateBias"),
            (8, "fwRecurrentBias"),
            (9, "bwGateWeight"),
            (10, "bwGateBias"),
            (11, "bwCandidateWeight"),
            (12, "bwCandidateBias"),
            (13, "bwRecurrentBias"),
        ),
    ),
    78: WeightFields("Extra"),
    80: WeightFields("Convolution3D", ((1, "weight"), (2, "bias")), external=3),
    88: WeightFields("LayerNorm", ((2, "gamma"), (3, "beta")), external=5),
    92: WeightFields("LoopParam"),
    95: WeightFields("GroupNorm", ((2, "gamma"), (3, "beta")), external=6),
}

WHILE_PARAMETER, IF_PARAMETER = 85, 86  # types of OpParameter: control flow

# fmt: off
_TYPES_FROM_0 = """
    AbsVal QuantizedAdd ArgMax AsString InstanceNorm BatchToSpaceND Copy BinaryOp Bnll Cast Concat Const Convolution
    ConvolutionDepthwise Crop CropAndResize ImageProcess Deconvolution DeconvolutionDepthwise Dequantize DetectionOutput
    Dropout Eltwise ELU Unique Exp ExpandDims Fill Flatten Im2Col Gather GatherV2 Im2Seq InnerProduct Input Interp Log LRN
    LSTM MatMul MoE NonMaxSuppression NonMaxSuppressionV2 Normalize Pack Padding Permute Pooling Power PReLU PriorBox
    Proposal QuantizedAvgPool QuantizedBiasAdd QuantizedConcat QuantizedDepthwiseConv2D QuantizedLogistic
    RasterAndInterpolate QuantizedMaxPool Texture RasterDiff QuantizedReshape QuantizedSoftmax QuantizeMaxMin QuantizeV2
    Range Rank ReduceJoin Reduction ReLU ReLU6 RequantizationRange Requantize Reshape Resize RNN ROIPooling Scale Selu
    Seq2Out Shape Sigmoid Size Slice SliceTf Softmax SpaceToBatchND SpatialProduct Col2Im Segment Squeeze StridedSlice
    CastLike StringSplit StringToNumber TanH TfQuantizedConv2D Threshold Tile TopKV2 Transpose UnaryOp Unpack Where Moments
    RNNSequenceGRU BatchMatMul Unsqueeze CosineSimilarity DepthToSpace SpaceToDepth ReverseSequence Pooling3D Convolution3D
    MatrixBandPart GatherND DetectionPostProcess UnravelIndex ScatterNd OneHot BroadcastTo Dilation2D Interp3D
"""
_TYPES_FROM_128 = """
    Raster ConvertTensor ArgMin LinSpace RandomUniform TensorArray TensorArraySize TensorArrayRead TensorArrayWrite
    TensorArrayGather TensorArrayScatter TensorArraySplit TensorArrayConcat LSTMBlockCell Reverse ROIAlign RandomNormal
    TensorArrayInsert TensorArrayErase EyeLike CumSum Det CumProd ScatterElements GatherElements Svd Histogram DynamicQuant
    Stft
"""
_TYPES_FROM_256 = """
    Plugin Select ZerosLike Broastcast SetDiff1D ReluGrad Identity PoolGrad SoftmaxGrad Conv2DBackPropFilter TrainableParam
    BatchNorm ConvTranspose3D ZeroGrad
"""
_TYPES_FROM_299 = "Attention FmhaV2 Fmhca SeqLen2Spatial SplitGeLU GroupNorm LinearAttention RoPE"
# fmt: on

OPERATOR_TYPES: dict[int, str] = {
    **dict(enumerate(_TYPES_FROM_0.split())),
    **dict(enumerate(_TYPES_FROM_128.split(), 128)),
    **dict(enumerate(_TYPES_FROM_256.split(), 256)),
    **dict(enumerate(_TYPES_FROM_299.split(), 299)),
    512: "Extra",
    513: "ConvInt8",
    514: "Int8ToFloat",
    515: "DepthwiseConvInt8",
    517: "FloatToInt8",
    518: "EltwiseInt8",
    600: "While",
    601: "If",
    603: "LayerNorm",
    604: "GridSample",
}

DATA_TYPES: dict[int, str] = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    19: "float16",
}
FLOATING_TYPES = {1: 32, 2: 64, 14: 16, 19: 16}

DATA_FORMATS: dict[int, str] = {0: "NCHW", 1: "NHWC", 2: "NC4HW4", 3: "NHWC4"}
SOURCE_TYPES: dict[int, str] = {0: "Caffe", 1: "TensorFlow", 2: "TFLite", 3: "ONNX", 4: "Torch"}
