"""A bundle that was judged becomes a version: completed with what only judging can add, sealed, registered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loopwright.core.event import Cause
from loopwright.core.version import Version, VersionStatus
from loopwright.judge.card import card
from loopwright.judge.declare import Judge
from loopwright.judge.evaluation import Comparison, Evaluation
from loopwright.judge.verdict import Verdict
from loopwright.pipeline.context import Context
from loopwright.registry import evidence
from loopwright.registry.register import register
from loopwright.transform import bundle

_ASIDE = ("run", "code", "git_commit", "git_diff", "logged")
"""Who made it: on a card, it would make equal ones differ."""


def complete(
    export: Path,
    evaluation: Evaluation,
    champion: str | None,
    verdict: Verdict,
    comparison: Comparison | None,
    judging: Judge,
    context: Context,
) -> Version:
    """The version, accepted or rejected. `champion` is the digest of the version that it had to beat."""
    draft = bundle.verify(export)
    folder = Path(shutil.copytree(export, context.folder / "bundle"))
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    lineage = {**draft.lineage, "champion": champion}
    page = card(draft.name, verdict, evaluation, comparison, columns=schema["columns"], facts=_facts(lineage))
    texts = {"evaluation.json": evaluation.to_json(), "verdict.json": verdict.to_json(), "card.html": page}
    if comparison is not None:
        texts["comparison.json"] = comparison.to_json()
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    sealed = bundle.write(
        folder,
        name=draft.name,
        inputs=draft.inputs,
        task=draft.task,
        classes=draft.classes,
        parity=draft.parity,
        lineage=lineage,
    )
    first = evaluation.metric(judging.metric)
    return register(
        context.stores,
        folder,
        sealed,
        Cause(actor=context.actor, at=context.clock.now(), reason=verdict.reason),
        status=VersionStatus.ACCEPTED if verdict.accepted else VersionStatus.REJECTED,
        run_id=context.run_id,
        metric=judging.metric,
        value=first.value if first else None,
        reason=verdict.reason,
    )


def _facts(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """For the card."""
    found = {name: value for name, value in lineage.items() if name not in _ASIDE and value is not None}
    if "validation" in found:
        found["validation"] = "; ".join(evidence.validation(found["validation"]))
    return found
