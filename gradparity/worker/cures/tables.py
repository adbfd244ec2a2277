"""What people mix up, framework by framework: values of an option, and functions of one signature."""

from __future__ import annotations

#: Words that stand for one another as the value of an option.
WORDS: tuple[tuple[str, ...], ...] = (
    ("none", "tanh"),
    ("mean", "sum", "batchmean", "none"),
    ("edge", "reflect", "symmetric", "wrap", "constant"),
    ("constant", "reflect", "replicate", "circular"),
    ("zeros", "reflect", "replicate", "circular", "border", "reflection"),
    ("SAME", "VALID", "SAME_LOWER", "CIRCULAR"),
    ("same", "valid", "full"),
    ("linear", "lower", "higher", "midpoint", "nearest"),
    ("nearest", "nearest-exact", "bilinear", "bicubic", "area", "linear", "trilinear", "cubic", "lanczos3"),
    ("xy", "ij"),
    ("relu", "gelu", "tanh", "silu"),
    ("floor", "trunc"),
    ("left", "right"),
    ("NCHW", "NHWC"),
    ("OIHW", "HWIO", "IOHW"),
    ("float32", "float64"),
    ("C", "F"),
    ("fan_in", "fan_out"),
)

#: Last words of the names of functions that are called alike.
FUNCTIONS: tuple[tuple[str, ...], ...] = (
    ("relu", "gelu", "silu", "elu", "leaky_relu", "softplus", "tanh", "sigmoid", "relu6", "selu", "celu", "mish"),
    ("ReLU", "GELU", "SiLU", "ELU", "LeakyReLU", "Softplus", "Tanh", "Sigmoid", "ReLU6", "SELU", "CELU", "Mish"),
    ("silu", "swish", "sigmoid", "hard_swish", "hardswish", "hard_sigmoid", "hardsigmoid", "log_sigmoid", "logsigmoid"),
    ("sin", "cos"),
    ("sinh", "cosh"),
    ("mean", "sum", "nanmean", "nansum", "median"),
    ("sum", "prod", "max"),
    ("max", "min", "mean"),
    ("amax", "amin", "mean"),
    ("maximum", "minimum"),
    ("log", "log1p", "log2", "log10"),
    ("exp", "expm1", "exp2"),
    ("sqrt", "rsqrt", "square", "abs"),
    ("argmax", "argmin"),
    ("var", "std"),
    ("softmax", "log_softmax", "sigmoid"),
    ("logsumexp", "max", "amax"),
    ("triu", "tril"),
    ("floor", "round", "ceil", "trunc", "rint"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("cumsum", "cumprod"),
    ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"),
    ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"),
    ("binary_cross_entropy", "binary_cross_entropy_with_logits"),
    ("cross_entropy", "nll_loss"),
    ("max_pool1d", "avg_pool1d", "lp_pool1d"),
    ("max_pool2d", "avg_pool2d", "lp_pool2d"),
    ("lgamma", "gammaln", "digamma"),
    ("erf", "erfc", "tanh"),
    ("greater", "greater_equal"),
    ("less", "less_equal"),
    ("gt", "ge"),
    ("lt", "le"),
    ("layer_norm", "rms_norm"),
    ("LayerNorm", "RMSNorm"),
    ("atan2", "arctan2"),
)

#: Options of functions whose signature Python does not know, with their defaults.
UNTOLD: dict[str, dict[str, object]] = {
    "gelu": {"approximate": "none"},
    "var": {"correction": 1, "keepdim": False},
    "std": {"correction": 1, "keepdim": False},
    "var_mean": {"correction": 1},
    "std_mean": {"correction": 1},
    "cov": {"correction": 1},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "celu": {"alpha": 1.0},
    "hardshrink": {"lambd": 0.5},
    "softshrink": {"lambd": 0.5},
    "scaled_dot_product_attention": {"is_causal": False, "scale": None},
    "cosine_similarity": {"dim": 1, "eps": 1e-8},
    "pairwise_distance": {"p": 2.0, "eps": 1e-6},
    "cdist": {"p": 2.0},
    "avg_pool1d": {"ceil_mode": False, "count_include_pad": True},
    "avg_pool2d": {"ceil_mode": False, "count_include_pad": True},
    "conv1d": {"stride": 1, "padding": 0, "dilation": 1},
    "conv2d": {"stride": 1, "padding": 0, "dilation": 1},
    "conv_transpose1d": {"stride": 1, "padding": 0, "output_padding": 0},
    "conv_transpose2d": {"stride": 1, "padding": 0, "output_padding": 0},
    "triu": {"diagonal": 0},
    "tril": {"diagonal": 0},
    "diagonal": {"offset": 0},
    "sort": {"descending": False},
    "argsort": {"descending": False},
    "bucketize": {"right": False},
    "searchsorted": {"right": False},
    "quantile": {"interpolation": "linear"},
    "norm": {"p": 2},
    "div": {"rounding_mode": None},
    "add": {"alpha": 1},
    "sub": {"alpha": 1},
    "prod": {"dim": None},
    "mean": {"dim": None, "keepdim": False},
    "sum": {"dim": None, "keepdim": False},
    "amax": {"keepdim": False},
    "amin": {"keepdim": False},
    "logsumexp": {"keepdim": False},
    "roll": {"dims": None},
}

#: Options of methods of arrays that the functions of a framework's own namespace have under the same name.
METHODS = frozenset(
    {"var", "std", "sum", "mean", "prod", "max", "min", "cumsum", "argmax", "argmin", "softmax", "norm"}
)

#: What no port differs by: where results go, how they are laid out, how they are computed.
PASSED_BY = frozenset(
    {
        *("dtype", "out", "where", "precision", "preferred_element_type", "out_sharding", "size", "name", "inplace"),
        *("device", "generator", "size_average", "reduce", "requires_grad", "pin_memory", "layout", "subok", "order"),
        *("promote_integers", "optimize", "casting", "mean", "initial", "return_indices", "return_counts"),
        *("enable_gqa", "dropout_p", "copy", "unique_indices", "indices_are_sorted", "fill_value", "implementation"),
        "return_sign",
    }
)

#: What an option may be other than its default, by name: ``None`` says little about it.
USUAL: dict[str, tuple[object, ...]] = {
    "correction": (0, 1),
    "ddof": (1, 0),
    "unbiased": (False, True),
    "approximate": ("tanh", "none", True, False),
    "axis": (-1, 0, 1, -2),
    "dim": (-1, 0, 1, -2),
    "dims": (-1, 0, 1),
    "scale": (1.0,),
    "rounding_mode": ("floor", "trunc"),
    "stride": (2, 3),
    "padding": (1, 2),
    "dilation": (2,),
    "k": (1, -1),
    "diagonal": (1, -1),
    "offset": (1, -1),
    "p": (1.0, 2.0),
    "ord": (1, 2),
    "normalize": (True, False),
    "interpolation": ("lower", "higher", "midpoint", "nearest"),
    "method": ("lower", "higher", "midpoint", "nearest"),
}

#: What stops a gradient: a function around a value, and what follows one.
STOPS = frozenset({"stop_gradient", "stop", "getval", "detach"})
STOPPING_METHODS = frozenset({"detach", "detach_", "item", "tolist", "numpy", "clone_detached"})
STOPPING_ATTRIBUTES = frozenset({"data", "_value"})

#: Dtypes narrower than a model of double precision, and what makes one.
NARROW = frozenset({"float32", "float16", "bfloat16", "half", "single"})
NARROWING_METHODS = frozenset({"float", "half", "bfloat16"})
#: What torch makes in single precision unless it is told.
MADE_NARROW = frozenset({"arange", "linspace", "logspace", "zeros", "ones", "full", "eye", "tensor", "as_tensor"})
