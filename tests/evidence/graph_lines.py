"""Lines of random losses that use what frameworks have beyond NumPy's names."""

from __future__ import annotations

ELEMENTWISE = (
    "digamma", "entr", "erfinv", "gammaln", "i0", "i0e", "i1", "i1e", "log_ndtr", "logit", "ndtr", "sinc",
    "celu", "elu", "gelu", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu",
    "relu6", "selu", "sigmoid", "silu", "soft_sign", "softplus",
)  # fmt: skip

LINES = [
    *(f"xp.{name}({{a}})" for name in ELEMENTWISE),
    *(f"xp.{name}({{a}})" for name in ("glu", "logsumexp")),
    *(f"xp.{name}({{a}}, axis={axis})" for axis in (0, -1) for name in ("log_softmax", "logsumexp", "softmax")),
    *(f"xp.{name}({{a}}, {{b}})" for name in ("beta", "betaln", "xlogy", "xlog1py")),
    *(f"xp.{name}(xp.tanh({{a}}))" for name in ("erfinv", "i0", "i1", "sinc")),
    *(f"xp.{name}(xp.sigmoid({{a}}))" for name in ("gammaln", "logit", "ndtri", "entr")),
    *(f"xp.{name}(d0, {{a}})" for name in ("xlogy", "xlog1py")), "xp.gammaln({a} * {a} + 1)",
    "xp.betaln(xp.exp({a}), xp.exp({b}))", "xp.polygamma(1, {a})", "xp.polygamma(0, {a} * {a} + 0.5)",
    "xp.cumlogsumexp({a}, axis=0)", "xp.cumlogsumexp({a}, axis=-1)", "xp.ndtri({a})",
    *(f"xp.{name}({{a}})" for name in (
        "atleast_3d", "average", "deg2rad", "degrees", "fabs", "median", "nan_to_num", "nanmax", "nanmean", "nanmin",
        "nanprod", "nanstd", "nansum", "nanvar", "ptp", "rad2deg", "radians",
    )),
    *(f"xp.{name}({{a}}, {{b}})" for name in ("arctan2", "atan2", "logaddexp2", "kron", "polyval")),
    *(f"xp.sort({{a}}, axis={axis})" for axis in (0, -1, None)), "xp.quantile({a}, 0.3)", "xp.percentile({a}, 40)",
    "xp.quantile({a}, 0.5, axis=0)", "xp.interp({a}, np.array([-1.0, 0.25, 2.0]), np.array([2.0, -1.0, 3.0]))",
    "xp.cross({a}[..., [0, 0, -1]], {b}[..., [0, -1, 0]])",
    "xp.heaviside({a}, 0.5) * {b}", "xp.trapezoid({a}, axis=-1)", "xp.pad({a}, 1)", "xp.pad({a}, 1, mode='edge')",
    "xp.meshgrid(xp.ravel({a}), xp.ravel({b}))[0]", "xp.select([{a} > 0], [{a}], {b})", "xp.unstack({a})[0]",
    "xp.dstack([{a}, {b}])", "xp.segment_sum(xp.stack([{a}, {b}]), [1, 1], 3)", "xp.sort(xp.maximum({a}, 0.0), axis=0)",
    "xp.gelu({a}, True)", "xp.one_hot(xp.argmax({a}), 3) * {b}",
    "xp.softmax({a} + {b}, axis=-1) * xp.log_softmax({a}, axis=-1)",
    "xp.logsumexp(xp.stack([{a}, {b}]), axis=0)", "xp.sum(xp.one_hot([0, 1, 5], 2) * xp.sum({a}))",
    *(f"xp.linalg.{name}({{a}})" for name in ("eigvalsh", "svdvals", "pinv", "cond")),
    *(f"xp.linalg.norm({{a}}, {order})" for order in (2, -2, "'nuc'", 1, "np.inf", -1)),
    "xp.linalg.eigh({a})[1] ** 2", "xp.linalg.eigh({a} + np.diag([0.0, 4.0]))[1] ** 2 * {b}",
    "xp.linalg.eigvalsh({a} + np.diag([0.0, 4.0]))", "xp.linalg.svd({a}, full_matrices=False)[1]",
    "xp.linalg.svdvals({a} + np.diag([1.0, 4.0]))", "xp.linalg.qr({a})[0] ** 2", "xp.linalg.qr({a})[1] ** 2",
    "xp.linalg.lstsq({a}, {b}, rcond=None)[0]", "xp.linalg.cond({a} + np.diag([1.0, 4.0]))",
    "xp.linalg.pinv({a} + 3 * np.eye(2))", "xp.linalg.eigvalsh(xp.stack([{a}, {a} + np.eye(2)]))",
    "xp.expm({a})", "xp.expm({a}) @ xp.expm({b})", "xp.bincount([0, 2], xp.ravel({a})[:2], 3)", "xp.cov({a})",
    "xp.corrcoef({a}, {b})",
    "xp.solve_triangular({a}, {b})", "xp.solve_triangular({a} + np.eye(2), {b}, lower=True)",
    "xp.conv({a}[None, None], {b}[None, None])[0, 0]", "xp.conv({a}[None, None], {a}[None, None], 1, 1)[0, 0]",
    "xp.avg_pool({a}[None, None], 2, 1)[0, 0]", "xp.max_pool({a}[None, None], 2, 1, 1)[0, 0]",
    "xp.max_pool({a}[None, None], 2)[0, 0]", "xp.acosh({a} * {a} + 1.5)", "xp.swapaxes({a} + {b}, 0, -1)",
]  # fmt: skip
