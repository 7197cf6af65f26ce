"""The publications that a map's methods come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lc_platform.products.options import ReportOptions
from lc_platform.report.report_facts import Contents

_TREES = (
    "Ke, G. et al. (2017). LightGBM: a highly efficient gradient boosting decision tree. Advances "
    "in Neural Information Processing Systems 30."
)
_DISCRIMINANT = (
    "Ledoit, O. and Wolf, M. (2004). A well-conditioned estimator for large-dimensional covariance "
    "matrices. Journal of Multivariate Analysis 88(2), 365-411."
)
_ALWAYS = (
    "Guizar-Sicairos, M., Thurman, S. T. and Fienup, J. R. (2008). Efficient subpixel image "
    "registration algorithms. Optics Letters 33(2), 156-158.",
)
_CLOUDS = (
    "Skakun, S. et al. (2022). Cloud Mask Intercomparison eXercise (CMIX). Remote Sensing of "
    "Environment 274, 112990."
)
_CLOUD_NETWORKS = (
    "Wieland, M., Li, Y. and Martinis, S. (2019). Multi-sensor cloud and cloud shadow segmentation "
    "with a convolutional neural network. Remote Sensing of Environment 230, 111203."
)
_BLOCKS = (
    "Roberts, D. R. et al. (2017). Cross-validation strategies for data with temporal, spatial, "
    "hierarchical, or phylogenetic structure. Ecography 40(8), 913-929."
)
_TEMPERATURE = (
    "Guo, C. et al. (2017). On calibration of modern neural networks. Proceedings of Machine "
    "Learning Research 70, 1321-1330."
)
_CURVE = (
    "Zhang, J., Kailkhura, B. and Han, T. Y.-J. (2020). Mix-n-match: ensemble and compositional "
    "methods for uncertainty calibration in deep learning. Proceedings of Machine Learning "
    "Research 119, 11117-11128."
)
_ISOTONIC = (
    "Zadrozny, B. and Elkan, C. (2002). Transforming classifier scores into accurate multiclass "
    "probability estimates. Proceedings of the eighth ACM SIGKDD international conference on "
    "Knowledge discovery and data mining, 694-699."
)
_AREAS = (
    "Olofsson, P. et al. (2014). Good practices for estimating area and assessing accuracy of land "
    "change. Remote Sensing of Environment 148, 42-57.",
    "Stehman, S. V. (2014). Estimating area and map accuracy for stratified random sampling when "
    "the strata are different from the map classes. International Journal of Remote Sensing "
    "35(13), 4923-4939.",
)
_SMOOTHING = (
    "Camara, G. et al. (2024). Bayesian inference for post-processing of remote sensing image "
    "classification. Remote Sensing 16(23), 4572."
)
_SEGMENTS = (
    "Achanta, R. et al. (2012). SLIC superpixels compared to state-of-the-art superpixel methods. "
    "IEEE Transactions on Pattern Analysis and Machine Intelligence 34(11), 2274-2282."
)
_RANDOM_FOREST = "Breiman, L. (2001). Random forests. Machine Learning 45(1), 5-32."
_EXTRA_TREES = (
    "Geurts, P., Ernst, D. and Wehenkel, L. (2006). Extremely randomized trees. Machine Learning "
    "63(1), 3-42."
)
_LOGISTIC = (
    "Pedregosa, F. et al. (2011). Scikit-learn: machine learning in Python. Journal of Machine "
    "Learning Research 12, 2825-2830."
)
_TEMPCNN = (
    "Pelletier, C., Webb, G. I. and Petitjean, F. (2019). Temporal convolutional neural network "
    "for the classification of satellite image time series. Remote Sensing 11(5), 523."
)
_LTAE = (
    "Garnot, V. S. F. and Landrieu, L. (2020). Lightweight temporal self-attention for classifying "
    "satellite image time series. Advanced Analytics and Learning on Temporal Data, 171-181."
)
_APPLICABILITY = (
    "Meyer, H. and Pebesma, E. (2021). Predicting into unknown space? Estimating the area of "
    "applicability of spatial prediction models. Methods in Ecology and Evolution 12(9), 1620-1633."
)
_WRONG_LABELS = (
    "Northcutt, C. G., Jiang, L. and Chuang, I. L. (2021). Confident learning: estimating "
    "uncertainty in dataset labels. Journal of Artificial Intelligence Research 70, 1373-1411."
)


_METHODS = {
    "lightgbm": _TREES,
    "discriminant": _DISCRIMINANT,
    "random_forest": _RANDOM_FOREST,
    "extra_trees": _EXTRA_TREES,
    "logistic": _LOGISTIC,
    "tempcnn": _TEMPCNN,
    "ltae": _LTAE,
}


def _methods(card: Mapping[str, Any]) -> list[str]:
    """Return what classifies: one method, or those that are combined."""
    method, parameters = card.get("method", "lightgbm"), card.get("parameters", {})
    if method != "combined":
        return [method]
    by_method = [name for name, of in parameters.items() if isinstance(of, Mapping)]
    return by_method or ["lightgbm", "discriminant"]


def cited(of: Contents, options: ReportOptions) -> list[str]:
    """Return the publications of the methods that a year's map was made with, by author."""
    return sorted(_used(of, options))


def _used(of: Contents, options: ReportOptions) -> Iterator[str]:
    yield from _ALWAYS
    yield from (_METHODS[method] for method in _methods(of.card) if method in _METHODS)
    if options.cloud_method == "s2cloudless":
        yield _CLOUDS
    if options.cloud_method == "unet":
        yield _CLOUD_NETWORKS
    if of.card.get("validation"):
        yield _BLOCKS
    calibrated_by = (of.card.get("calibration") or {}).get("method")
    if calibrated_by == "curve":
        yield _CURVE
    if calibrated_by == "temperature":
        yield _TEMPERATURE
    if calibrated_by == "isotonic":
        yield _ISOTONIC
    if of.areas["sample"]:
        yield from _AREAS
    if options.smoothed:
        yield _SMOOTHING
    if options.segmented:
        yield _SEGMENTS
    if of.card.get("applicability"):
        yield _APPLICABILITY
    if of.card.get("wrong_labels"):
        yield _WRONG_LABELS
