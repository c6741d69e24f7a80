"""What train() returns as one ONNX graph from raw columns to the prediction: the model that was returned, and no other.

A fitted estimator is converted as it is, and its graph joined to its transform's. Where the graph gives what the user's
own Python model gives on training rows, that is the export: on whichever columns, rows, weights and labels it was
fitted. Where it does not, because float32's rounding in the transform moves values across the thresholds of trees, the
final model is fitted *again*, on what ONNX Runtime gives for the transform; the graph then computes what that model was
fitted on. A model fitted again must be close to the one returned: otherwise it is refused, because what made that one
cannot be done again here. The estimator given is only read. A PyTorch module has no thresholds at which rounding
matters: it is exported as it is. An ONNX graph is taken as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import polars as pl
from sklearn.base import is_classifier  # type: ignore[import-untyped]
from sklearn.pipeline import Pipeline  # type: ignore[import-untyped]

from loopwright.errors import DeclarationError
from loopwright.transform import graphs, torch
from loopwright.transform.agreement import COMPARED_ROWS, disagreement, distance, drawn
from loopwright.transform.asking import Asking
from loopwright.transform.assembly import decode_label, finish, matrix_of, merge
from loopwright.transform.classes import check_order, is_encoded, numbered
from loopwright.transform.conversion import at_one_opset, final_graph, transform_graph
from loopwright.transform.converters import register
from loopwright.transform.exported import Exported, Model, Target, target_of
from loopwright.transform.inputs import Array, Frame, Inputs
from loopwright.transform.refit import fit_again, split
from loopwright.transform.refusals import Estimator, refuse, refuse_final
from loopwright.transform.taken import knows_names, taken

_TRIED_ROWS = 2


def export(model: Model, rows: Frame, target: object, *, task: str | None = None, **fit_parameters: object) -> Exported:
    """Export what train() returned; `rows` and `target` are the training rows.

    Takes a fitted scikit-learn, LightGBM or XGBoost estimator, bare or last in a pipeline or search; a
    `torch.nn.Module`, bare or as (fitted transform, module); an ONNX graph. `fit_parameters` (sample_weight=...) go to
    the final estimator's `fit`, where it is fitted again. Raises `DeclarationError` naming what cannot be exported,
    `DataError` for the target, `ParityFailed` for a model that takes none of the rows.
    """
    if torch.is_network(model):
        return _network(model, rows, target, task, fit_parameters)
    if graphs.is_graph(model):
        _no_parameters(fit_parameters)
        return graphs.exported(model, Inputs.of(rows), rows, target, task)
    return _estimator(model, rows, target, task, fit_parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What train() returned, taken apart; `encoded` where it knows the target's classes by number."""

    transform: Estimator | None
    final: Estimator
    inputs: Inputs
    target: Target
    taken: tuple[str, ...]
    encoded: bool
    transform_graph: onnx.ModelProto

    @classmethod
    def of(cls, estimator: Estimator, rows: Frame, target: object, task: str | None) -> _Given:
        transform, final = split(estimator)
        refuse(transform)
        refuse_final(final)
        inputs, known = Inputs.of(rows), target_of(target, task, classifies=is_classifier(final))
        columns = taken(final if transform is None else transform, inputs)
        return cls(
            transform=transform,
            final=final,
            inputs=inputs,
            target=known,
            taken=columns,
            encoded=is_encoded(final, known),
            transform_graph=transform_graph(transform, inputs, columns),
        )

    @property
    def labels(self) -> Array:
        """As the final model learns them."""
        return numbered(self.target) if self.encoded else self.target.values

    def matrix(self, rows: pl.DataFrame) -> Array:
        return matrix_of(self.transform_graph, self.inputs, self.inputs.feed(rows))

    def exported(self, final: Model, graph: onnx.ModelProto | None, *, reads_graph: bool) -> Exported:
        """The Python model, with the graph of the final one if there is one yet."""
        return Exported(
            graph=onnx.ModelProto() if graph is None else self._whole(graph),
            inputs=self.inputs,
            task=self.target.task,
            classes=self.target.classes,
            transform=self.transform,
            transform_graph=self.transform_graph,
            estimator=final,
            taken=self.taken,
            by_name=self.transform is not None or knows_names(self.final, self.inputs),
            reads_graph=reads_graph,
        )

    def _whole(self, final: onnx.ModelProto) -> onnx.ModelProto:
        if self.encoded:
            decode_label(final, self.target.classes)
        return finish(merge(self.transform_graph, final), self.inputs, self.target.task, self.target.classes)


def _estimator(
    estimator: Estimator, rows: Frame, target: object, task: str | None, parameters: dict[str, object]
) -> Exported:
    register()
    given = _Given.of(estimator, rows, target, task)
    frame = given.inputs.frame(rows)
    own, why = _as_it_is(given, frame)
    return _again(given, own, frame, _own(estimator, parameters), why) if why else own


def _as_it_is(given: _Given, frame: pl.DataFrame) -> tuple[Exported, str]:
    """The model as it was returned; and why its graph is not it, nothing where it is."""
    python = given.exported(given.final, None, reads_graph=False)
    if given.encoded:
        some = drawn(len(frame), COMPARED_ROWS)
        said = Asking(python)(frame[some.tolist()])
        check_order(said.predictions, given.target.values[some][said.kept], given.target)
    try:
        graph = final_graph(given.final, given.matrix(frame.head(_TRIED_ROWS)).shape[1])
    except DeclarationError as error:
        return python, str(error.fix)
    own = given.exported(given.final, graph, reads_graph=False)
    return own, disagreement(own, frame)


def _again(given: _Given, own: Exported, frame: pl.DataFrame, parameters: dict[str, object], why: str) -> Exported:
    """The model fitted again on what the graph of the transform gives; with the weights first, if there are any."""
    matrix, nearest = given.matrix(frame), np.inf
    for tried in (parameters, {}) if parameters else ({},):
        final = fit_again(given.final, matrix, given.labels, tried)
        again = given.exported(final, final_graph(final, matrix.shape[1]), reads_graph=True)
        apart = distance(own, again, frame)
        if apart.is_small:
            return again
        nearest = min(nearest, apart.mean)
    raise DeclarationError(
        f"train() returned a model that differs from the same model fitted on all rows and columns (mean difference"
        f" {nearest:.3g}, allowed {apart.limit}); its graph cannot be made as it is, because {why}",
        where="what train() returns",
        fix="put the choice of columns, weights and the target's transform into the pipeline, or drop the scaler before"
        " the trees",
    )


def _network(model: Model, rows: Frame, target: object, task: str | None, parameters: dict[str, object]) -> Exported:
    _no_parameters(parameters)
    register()
    transform, module = model if isinstance(model, tuple) else (None, model)
    if transform is not None:
        transform, last = split(Pipeline([("transform", transform)]))
        transform = last if transform is None else Pipeline([("before", transform), ("last", last)])
        refuse(transform)
    inputs, known = Inputs.of(rows), target_of(target, task)
    columns = taken(transform, inputs)
    first = transform_graph(transform, inputs, columns)
    network = torch.Network.of(module, matrix_of(first, inputs, inputs.feed(rows)), known)
    merged = merge(first, at_one_opset(network.graph()))
    return Exported(
        graph=finish(merged, inputs, known.task, known.classes),
        inputs=inputs,
        task=known.task,
        classes=known.classes,
        transform=transform,
        transform_graph=first,
        estimator=network,
        taken=columns,
        by_name=transform is not None,
        reads_graph=True,
    )


def _no_parameters(parameters: dict[str, object]) -> None:
    if parameters:
        raise DeclarationError(
            f"export() got {', '.join(parameters)}, but only an estimator is fitted again", fix="leave them out"
        )


def _own(estimator: Estimator, parameters: dict[str, object]) -> dict[str, object]:
    """Named as for the whole pipeline's fit, or as for the final model's."""
    last = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    return {name.removeprefix(last): value for name, value in parameters.items()}
