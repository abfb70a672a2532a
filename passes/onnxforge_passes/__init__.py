"""The passes that come with onnxforge, one file each, and `standard`, the default pipeline.

A pass is imported from its own module; here are those that `standard` is made of.
"""

from onnxforge import Pipeline
from onnxforge_passes.arithmetic_identity_elimination import ArithmeticIdentityElimination
from onnxforge_passes.attention_cache_fusion import AttentionCacheFusion
from onnxforge_passes.attention_fusion import AttentionFusion
from onnxforge_passes.attention_layout_fusion import AttentionLayoutFusion
from onnxforge_passes.batched_transpose_fusion import BatchedTransposeFusion
from onnxforge_passes.body_trimming import BodyTrimming
from onnxforge_passes.cast_chain_elimination import CastChainElimination
from onnxforge_passes.cast_like_lowering import CastLikeLowering
from onnxforge_passes.clip_fusion import ClipFusion
from onnxforge_passes.clip_merging import ClipMerging
from onnxforge_passes.common_subexpression_elimination import CommonSubexpressionElimination
from onnxforge_passes.concat_merging import ConcatMerging
from onnxforge_passes.constant_arithmetic_merging import ConstantArithmeticMerging
from onnxforge_passes.constant_folding import ConstantFolding
from onnxforge_passes.constant_to_initializer import ConstantToInitializer
from onnxforge_passes.conv_arithmetic_fusion import ConvArithmeticFusion
from onnxforge_passes.conv_batch_norm_fusion import ConvBatchNormFusion
from onnxforge_passes.conv_input_fusion import ConvInputFusion
from onnxforge_passes.dead_node_elimination import DeadNodeElimination
from onnxforge_passes.division_fusion import DivisionFusion
from onnxforge_passes.duplicate_initializer_elimination import DuplicateInitializerElimination
from onnxforge_passes.einsum_lowering import EinsumLowering
from onnxforge_passes.elements_to_split import ElementsToSplit
from onnxforge_passes.elu_fusion import EluFusion
from onnxforge_passes.expand_elimination import ExpandElimination
from onnxforge_passes.expand_merging import ExpandMerging
from onnxforge_passes.expand_target_folding import ExpandTargetFolding
from onnxforge_passes.gather_elimination import GatherElimination
from onnxforge_passes.gather_nd_elimination import GatherNdElimination
from onnxforge_passes.gelu_fusion import GeluFusion
from onnxforge_passes.gemm_arithmetic_fusion import GemmArithmeticFusion
from onnxforge_passes.gemm_input_fusion import GemmInputFusion
from onnxforge_passes.gemm_transpose_fusion import GemmTransposeFusion
from onnxforge_passes.hard_sigmoid_fusion import HardSigmoidFusion
from onnxforge_passes.hard_swish_fusion import HardSwishFusion
from onnxforge_passes.identity_elimination import IdentityElimination
from onnxforge_passes.if_elimination import IfElimination
from onnxforge_passes.index_merging import IndexMerging
from onnxforge_passes.initializer_sinking import InitializerSinking
from onnxforge_passes.instance_normalization_fusion import InstanceNormalizationFusion
from onnxforge_passes.layer_normalization_fusion import LayerNormalizationFusion
from onnxforge_passes.leaky_relu_fusion import LeakyReluFusion
from onnxforge_passes.loop_elimination import LoopElimination
from onnxforge_passes.matmul_add_fusion import MatmulAddFusion
from onnxforge_passes.mean_fusion import MeanFusion
from onnxforge_passes.mish_fusion import MishFusion
from onnxforge_passes.nan_guard_elimination import NanGuardElimination
from onnxforge_passes.negation_fusion import NegationFusion
from onnxforge_passes.noop_elimination import NoopElimination
from onnxforge_passes.normalization_affine_fusion import NormalizationAffineFusion
from onnxforge_passes.pad_fusion import PadFusion
from onnxforge_passes.pad_merging import PadMerging
from onnxforge_passes.parallel_conv_merging import ParallelConvMerging
from onnxforge_passes.parallel_matmul_merging import ParallelMatmulMerging
from onnxforge_passes.reduction_fusion import ReductionFusion
from onnxforge_passes.reduction_merging import ReductionMerging
from onnxforge_passes.relu_fusion import ReluFusion
from onnxforge_passes.repetition_fusion import RepetitionFusion
from onnxforge_passes.reshape_target_folding import ReshapeTargetFolding
from onnxforge_passes.rms_normalization_fusion import RmsNormalizationFusion
from onnxforge_passes.rotary_embedding_fusion import RotaryEmbeddingFusion
from onnxforge_passes.scale_folding import ScaleFolding
from onnxforge_passes.selection_merging import SelectionMerging
from onnxforge_passes.sequence_elimination import SequenceElimination
from onnxforge_passes.shape_hoisting import ShapeHoisting
from onnxforge_passes.shape_sharing import ShapeSharing
from onnxforge_passes.shape_slicing import ShapeSlicing
from onnxforge_passes.sigmoid_fusion import SigmoidFusion
from onnxforge_passes.slice_end_folding import SliceEndFolding
from onnxforge_passes.slice_merging import SliceMerging
from onnxforge_passes.slices_to_split import SlicesToSplit
from onnxforge_passes.softmax_fusion import SoftmaxFusion
from onnxforge_passes.softplus_fusion import SoftplusFusion
from onnxforge_passes.split_deferral import SplitDeferral
from onnxforge_passes.transpose_cancellation import TransposeCancellation
from onnxforge_passes.transpose_merging import TransposeMerging
from onnxforge_passes.unused_function_removal import UnusedFunctionRemoval
from onnxforge_passes.unused_initializer_removal import UnusedInitializerRemoval
from onnxforge_passes.unused_output_removal import UnusedOutputRemoval
from onnxforge_passes.variadic_merging import VariadicMerging
from onnxforge_passes.view_merging import ViewMerging
from onnxforge_passes.zero_state_elimination import ZeroStateElimination

# Folding tells which branches are taken, and both bring constants and convolutions to light.  Once
# all else is done, what was saved may be spent on folding more.
standard = Pipeline(
    IdentityElimination(),
    ShapeHoisting(),
    ReshapeTargetFolding(),
    ExpandTargetFolding(),
    ExpandElimination(),
    ExpandMerging(),
    SliceEndFolding(),
    ShapeSharing(),
    ShapeSlicing(),
    ViewMerging(),
    TransposeMerging(),
    BatchedTransposeFusion(),
    TransposeCancellation(),
    ConcatMerging(),
    SliceMerging(),
    SelectionMerging(),
    SlicesToSplit(),
    ElementsToSplit(),
    SplitDeferral(),
    IndexMerging(),
    GatherElimination(),
    GatherNdElimination(),
    ReductionMerging(),
    CastLikeLowering(),
    EinsumLowering(),
    CastChainElimination(),
    NoopElimination(),
    ArithmeticIdentityElimination(),
    ZeroStateElimination(),
    VariadicMerging(),
    ClipMerging(),
    ConstantFolding(),
    IfElimination(),
    LoopElimination(),
    BodyTrimming(),
    SequenceElimination(),
    SigmoidFusion(),
    SoftmaxFusion(),
    NanGuardElimination(),
    ReluFusion(),
    LeakyReluFusion(),
    EluFusion(),
    SoftplusFusion(),
    ClipFusion(),
    HardSwishFusion(),
    HardSigmoidFusion(),
    MishFusion(),
    GeluFusion(),
    MeanFusion(),
    ReductionFusion(),
    InstanceNormalizationFusion(),
    LayerNormalizationFusion(),
    RmsNormalizationFusion(),
    NormalizationAffineFusion(),
    DivisionFusion(),
    NegationFusion(),
    RepetitionFusion(),
    PadMerging(),
    PadFusion(),
    ConvBatchNormFusion(),
    ConvArithmeticFusion(),
    ConvInputFusion(),
    ParallelConvMerging(),
    GemmArithmeticFusion(),
    GemmInputFusion(),
    ConstantArithmeticMerging(),
    ScaleFolding(),
    ParallelMatmulMerging(),
    RotaryEmbeddingFusion(),
    AttentionFusion(),
    AttentionLayoutFusion(),
    AttentionCacheFusion(),
    MatmulAddFusion(),
    GemmTransposeFusion(),
    ConstantToInitializer(),
    DuplicateInitializerElimination(),
    CommonSubexpressionElimination(),
    DeadNodeElimination(),
    UnusedOutputRemoval(),
    UnusedInitializerRemoval(),
    InitializerSinking(),
    UnusedFunctionRemoval(),
    ConstantFolding(price=1 << 15),
    description="What every model gains from, in portable ONNX.",
)
