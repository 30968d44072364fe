"""Mappings as scikit-learn estimators: thin shells around the kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from neurofit.kernel.arrays import Precision
from neurofit.kernel.gram import SharedSource, SharedTargets
from neurofit.kernel.held_out import HeldOutFits, MapSplits
from neurofit.kernel.pls import fit_pls, predict_held_out, predict_pls
from neurofit.kernel.ridge import RidgeSource, fit_ridge, predict_ridge
from neurofit.kernel.ridge import predict_held_out as predict_held_out_by_ridge
from neurofit.mapping.devices import OnDevice, on_device
from neurofit.mapping.held_out import Floats, HeldOutMapping, PredictedHeldOut, Split


class PLSMapping(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Partial least squares regression of all neuroids of a region at once.

    25 components without scaling are the field's standard (specification of the ConvRNN papers, 6.1:
    neuroailab/streams @ 0570ab1, brain-score/vision @ c642dbe).

    Parameters
    ----------
    n_components : int
        At most min(training images - 1, features).
    scale : bool
        Whether features and responses are divided by their training standard deviations.
    precision : {"float64", "float32"}
        Of the computation. In single precision r differs by some 1e-5 (docs/speed.md) and takes about half the time.
    device : str
        'cpu' computes with NumPy; any other name is a device of torch's, such as 'cuda'. Of `held_out` alone.

    Attributes
    ----------
    coef_ : ndarray (q, p)
        Predictions are ``X @ coef_' + intercept_``, as in scikit-learn's linear models.
    intercept_ : ndarray (q,)
    n_components_ : int
        Components kept: fewer than n_components where the rank of the data was exhausted.
    """

    def __init__(
        self, n_components: int = 25, *, scale: bool = False, precision: Precision = "float64", device: str = "cpu"
    ) -> None:
        self.n_components = n_components
        self.scale = scale
        self.precision = precision
        self.device = device

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> PLSMapping:
        """Fit to features X (n, p) and responses y (n, q) or (n,).

        Raises
        ------
        MappingError
            If the data do not allow n_components.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, ensure_min_samples=2)
        targets = np.asarray(y, np.float64)
        self._one_dimensional = targets.ndim == 1
        self._fit = fit_pls(
            X, targets.reshape(len(targets), -1), self.n_components, scale=self.scale, precision=self.precision
        )
        self.coef_ = self._fit.coefficients().T
        self.intercept_ = self._fit.y_mean - self.coef_ @ self._fit.x_mean
        self.n_components_ = int(self._fit.kept)
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return predictions (n, q), or (n,) where y was one-dimensional."""
        check_is_fitted(self)
        predictions = predict_pls(self._fit, validate_data(self, X, reset=False))
        return predictions[:, 0] if self._one_dimensional else predictions

    def prepare(self, X: npt.ArrayLike) -> SharedSource:
        """Prepare features (n, p) once for all splits and target sets."""
        return SharedSource.of(X, self.scale, precision=self.precision)

    def predict_held_out(
        self, source: SharedSource, Y: npt.ArrayLike | SharedTargets, train: npt.ArrayLike, test: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
        """Fit B target sets (B, n, q) on the training rows and predict the test rows; see `kernel.pls`."""
        return predict_held_out(source, Y, train, test, self.n_components)

    def held_out(
        self,
        X: Floats,
        splits: Sequence[Split],
        *,
        n_groups: int = 1,
        map_splits: MapSplits = map,
        advance: Callable[[int], object] | None = None,
    ) -> HeldOutMapping:
        """Fit to features X (n, p) of the training images of each split; see `kernel.held_out.HeldOutFits`."""
        values = X if self.device == "cpu" else on_device(X, self.device)
        fits = HeldOutFits(
            SharedSource.of(values, self.scale, precision=self.precision),
            splits,
            self.n_components,
            n_groups=n_groups,
            map_splits=map_splits,
            advance=advance,
        )
        return fits if self.device == "cpu" else OnDevice(fits, self.device)


class RidgeMapping(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression with a penalty of its own for every neuroid, chosen inside the training images.

    The choice is by exact leave-one-out squared error (not generalised cross-validation), as scikit-learn's
    `RidgeCV(alphas, alpha_per_target=True)`, to which predictions are equal with `relative_alphas=False`.

    Parameters
    ----------
    alphas : sequence of float, optional
        Penalties to choose from; `kernel.ridge.DEFAULT_ALPHAS`, 1e-5 to 1e5 in decades, by default.
    relative_alphas : bool
        Whether penalties are multiplied by the total variance of the training features; see `kernel.ridge`.

    Attributes
    ----------
    coef_ : ndarray (q, p)
    intercept_ : ndarray (q,)
    alphas_ : ndarray (q,)
        The penalty chosen for each neuroid, as it stands in `alphas`.
    """

    def __init__(self, alphas: Sequence[float] | None = None, *, relative_alphas: bool = True) -> None:
        self.alphas = alphas
        self.relative_alphas = relative_alphas

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> RidgeMapping:
        """Fit to features X (n, p) and responses y (n, q) or (n,).

        Raises
        ------
        MappingError
            If a penalty is not above 0.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True, ensure_min_samples=2)
        targets = np.asarray(y, np.float64)
        self._one_dimensional = targets.ndim == 1
        self._fit = fit_ridge(X, targets.reshape(len(targets), -1), self.alphas, relative=self.relative_alphas)
        self.coef_ = self._fit.coefficients.T
        self.intercept_ = self._fit.y_mean - self.coef_ @ self._fit.x_mean
        self.alphas_ = self._fit.alphas
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return predictions (n, q), or (n,) where y was one-dimensional."""
        check_is_fitted(self)
        predictions = predict_ridge(self._fit, validate_data(self, X, reset=False))
        return predictions[:, 0] if self._one_dimensional else predictions

    def prepare(self, X: npt.ArrayLike) -> RidgeSource:
        """Prepare features (n, p) once for all splits and target sets."""
        return RidgeSource(X)

    def predict_held_out(
        self, source: RidgeSource, Y: npt.ArrayLike | SharedTargets, train: npt.ArrayLike, test: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Fit B target sets (B, n, q) on the training rows and predict the test rows; see `kernel.ridge`."""
        return predict_held_out_by_ridge(source, Y, train, test, self.alphas, relative=self.relative_alphas)

    def held_out(
        self,
        X: Floats,
        splits: Sequence[Split],
        *,
        n_groups: int = 1,
        map_splits: MapSplits = map,
        advance: Callable[[int], object] | None = None,
    ) -> HeldOutMapping:
        """Fit to features X (n, p) of the training images of each split; see `kernel.held_out.HeldOutFits`."""
        return PredictedHeldOut(self, X, splits, n_groups=n_groups, map_splits=map_splits, advance=advance)
