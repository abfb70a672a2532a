"""What ONNX Runtime has operators of its own for."""

from onnxforge import Pipeline

from .attention_bias_injection import AttentionBiasInjection
from .attention_cache_injection import AttentionCacheInjection
from .bias_gelu_injection import BiasGeluInjection
from .fused_conv_injection import FusedConvInjection
from .gelu_injection import GeluInjection
from .multi_head_attention_injection import MultiHeadAttentionInjection
from .packed_attention_injection import PackedAttentionInjection
from .quick_gelu_injection import QuickGeluInjection
from .rotary_embedding_injection import RotaryEmbeddingInjection

# Those that add a residual and normalize are not among them: their CPU kernels take up to seven times
# as long as an Add and a LayerNormalization, in ONNX Runtime 1.31 on x86-64.
#
# Rotating hides the Transposes that attention looks for, so it comes first.
ort_fusions = Pipeline(
    RotaryEmbeddingInjection(),
    MultiHeadAttentionInjection(),
    AttentionBiasInjection(),
    AttentionCacheInjection(),
    PackedAttentionInjection(),
    GeluInjection(),
    BiasGeluInjection(),
    QuickGeluInjection(),
    FusedConvInjection(),
    description="What ONNX Runtime has operators of its own for: its CPU kernels, and no others.",
)
