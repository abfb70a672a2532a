"""The passes that come with onnxforge, one file each, and `standard`, the default pipeline."""

from onnxforge import Pipeline
from onnxforge_passes.conv_batch_norm_fusion import ConvBatchNormFusion
from onnxforge_passes.dead_node_elimination import DeadNodeElimination
from onnxforge_passes.identity_elimination import IdentityElimination

standard = Pipeline(
    IdentityElimination(),
    ConvBatchNormFusion(),
    DeadNodeElimination(),
    description="What every model gains from, in portable ONNX.",
)
