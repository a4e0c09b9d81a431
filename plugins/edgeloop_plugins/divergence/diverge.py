"""The search: both sides run, are compared, and the first difference is looked into."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgeloop import JobContext
from edgeloop_plugins.divergence import causes
from edgeloop_plugins.divergence.comparisons import compared_operator, compared_tensors, error_of
from edgeloop_plugins.divergence.findings import Finding, first_finding
from edgeloop_plugins.divergence.matching import Pair, matched, plain_type
from edgeloop_plugins.divergence.onnx_runtime import OnnxRuntime
from edgeloop_plugins.divergence.parameters import DivergeParameters
from edgeloop_plugins.divergence.plan import Plan
from edgeloop_plugins.divergence.probes import INPUT, look_into, look_into_stage, on_equal_inputs
from edgeloop_plugins.divergence.reference_file import ReferenceFile, save, sha256_of
from edgeloop_plugins.divergence.report import report_lines
from edgeloop_plugins.divergence.results import DivergeResult, FindingKind
from edgeloop_plugins.divergence.sides import Recorded, Work
from edgeloop_plugins.divergence.verdicts import agreement, verdict_on, verdict_on_output, verdict_on_stage
from edgeloop_plugins.model_tools.paths import in_workspace
from edgeloop_plugins.model_tools.source_nodes import SourceNodes
from edgeloop_shared.errors import InvalidInputError, NotFoundError
from edgeloop_task.array_file import MAX_FILE_BYTES

MAX_LISTED = 5000  # operators in the result


def diverge(parameters: DivergeParameters, context: JobContext) -> DivergeResult:
    """Find the first stage or operator at which a device and a reference disagree.

    Raises `NotFoundError`, `InvalidInputError` and `ModelError` for files and options that cannot be used, and what running
    on the device raises.
    """
    path = in_workspace(parameters.model, context.workspace)
    if not path.is_file():
        raise NotFoundError(f"There is no file {path}.", hint="Name an MNN model, or a script that runs one.")
    search = _Search(Plan(parameters, context, path))
    return search.of_script() if path.suffix.lower() == ".py" else search.of_model()


class _Search:
    """One search."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parameters = plan.parameters
        self._begin = time.monotonic()
        self._notes: list[str] = []
        self._nodes: SourceNodes | None = None

    def of_script(self) -> DivergeResult:
        """Compare the stages of a script, then the operators of the first model that it runs."""
        plan = self._plan
        if isinstance(plan.reference, OnnxRuntime):
            raise InvalidInputError(
                "A script cannot be compared with ONNX Runtime.", hint="Compare the model that it runs: name the model."
            )
        work = Work(script=plan.path, arguments=self._parameters.arguments)
        found, reference = plan.both(work, work)
        if not found.record.stages and not found.record.operators:
            raise InvalidInputError(
                f"{plan.path.name} has no stages and runs no model.",
                hint="Name its steps: image = edgeloop_task.stage('resize', image).",
            )
        model = _model_of(found, plan.context.workspace)
        self._nodes = None if model is None else plan.nodes(model)
        bound = plan.bound(model, model)
        stages = (
            *compared_tensors(found.record.stages, reference.record.stages),
            *compared_tensors(found.record.inputs, reference.record.inputs, prefix=INPUT),
        )
        pairs, unmatched = matched(found.record.operators, reference.record.operators, {})
        common = {
            "device": plan.device.side(work, found.record.engine),
            "reference": plan.reference.side(work, reference.record.engine),
            "inputs": f"what {plan.path.name} gives the model" if model else "none: the script runs no model",
            "min_snr_db": bound,
            "stages": stages,
            "unmatched": tuple(unmatched),
        }
        place = next((at for at, one in enumerate(stages) if not one.agrees), None)
        if place is None:
            return self._at_operators(pairs, work, work, found, reference, common)
        first, before = stages[place], stages[:place]
        plan.context.progress(0.6, f"looking into the stage {first.name}")
        difference, reasons = look_into_stage(plan, first, before, work, reference)
        if pairs and model is not None:
            reasons.append(on_equal_inputs(plan, model, reference))
        verdict = verdict_on_stage(first, before)
        return self._result("stage", verdict, reasons, pairs, difference=difference, stage=first.name, **common)

    def of_model(self) -> DivergeResult:
        """Compare the operators of a model."""
        plan = self._plan
        inputs, described = plan.inputs()
        self._nodes = plan.nodes(plan.path)
        bound = plan.bound(plan.path, plan.reference_model)
        work = Work(model=plan.path, inputs=inputs)
        reference_work = replace(work, model=plan.reference_model)
        saves = self._parameters.save is not None
        found, reference = plan.both(work, replace(reference_work, keep_bytes=MAX_FILE_BYTES if saves else 0))
        if saves:
            self._save(reference, inputs)
        pairs, unmatched = matched(found.record.operators, reference.record.operators, reference.alternatives)
        outputs = compared_tensors(found.record.outputs, reference.record.outputs, bound=bound)
        if pairs and not reference.record.outputs and isinstance(plan.reference, ReferenceFile):
            outputs = ()  # somebody has recorded operators alone
        self._notes += dict.fromkeys(one for one in (found.record.note, reference.record.note) if one)
        common = {
            "device": plan.device.side(work, found.record.engine),
            "reference": plan.reference.side(reference_work, reference.record.engine),
            "inputs": described,
            "min_snr_db": bound,
            "unmatched": tuple(unmatched),
            "outputs": outputs,
        }
        wrong = next((one for one in outputs if not one.agrees), None)
        if wrong is not None and first_finding(pairs, error_of(bound)).kind == "none":
            verdict = verdict_on_output(wrong, has_operators=bool(pairs))
            return self._result("output", verdict, [], pairs, operator=wrong.name, **common)
        return self._at_operators(pairs, work, reference_work, found, reference, common)

    def _at_operators(
        self,
        pairs: Sequence[Pair],
        work: Work,
        reference_work: Work,
        found: Recorded,
        reference: Recorded,
        common: Mapping[str, Any],
    ) -> DivergeResult:
        """Find the first difference at the operators, look into it, and return the result."""
        finding = first_finding(pairs, error_of(common["min_snr_db"]))
        pair = finding.pair
        if pair is None:
            tensors = common.get("outputs") or common.get("stages") or ()
            return self._result("none", agreement(pairs, tensors), [], pairs, **common)
        exact, reasons = None, self._causes(finding, found, reference)
        if not finding.is_on_both_sides:
            self._plan.context.progress(0.6, f"looking into {pair.operator.name}")
            exact, more = look_into(self._plan, finding, work, reference_work, reference)
            reasons += more
        return self._result(
            finding.kind,
            verdict_on(finding, self._source, exact),
            reasons,
            pairs,
            difference=exact,
            operator=pair.operator.name,
            operator_type=plain_type(pair.operator.type),
            source=self._source(pair.operator.name),
            **common,
        )

    def _causes(self, finding: Finding, found: Recorded, reference: Recorded) -> list[str]:
        assert finding.pair is not None
        node = self._nodes.find(finding.pair.operator.name) if self._nodes else None
        reasons = list(causes.from_numbers(finding, node))
        ours, theirs = found.record.engine, reference.record.engine
        if ours != theirs and self._plan.has_live_reference:
            reasons.append(f"the engines differ: {ours} on the device, {theirs} beside it")
        return reasons

    def _result(
        self, finding: FindingKind, verdict: str, reasons: Sequence[str], pairs: Sequence[Pair], **rest: Any
    ) -> DivergeResult:
        if len(pairs) > MAX_LISTED:
            self._notes.append(f"the result lists the first {MAX_LISTED} of {len(pairs)} operators")
        bound = error_of(rest["min_snr_db"])
        listed = pairs[:MAX_LISTED]
        result = DivergeResult(
            report="",
            exit_status=0 if finding == "none" else 1,
            finding=finding,
            verdict=verdict,
            causes=tuple(reasons),
            operators=tuple(compared_operator(pair, bound, self._source(pair.operator.name)) for pair in listed),
            sent_bytes=self._plan.sent_bytes,
            received_bytes=self._plan.received_bytes,
            seconds=round(time.monotonic() - self._begin, 3),
            notes=tuple(self._notes),
            **rest,
        )
        self._plan.context.progress(1.0, verdict)
        return replace(result, report="\n".join(report_lines(result, show_all=self._parameters.all)))

    def _save(self, reference: Recorded, inputs: Path) -> None:
        target = in_workspace(str(self._parameters.save), self._plan.context.workspace)
        with np.load(inputs, allow_pickle=False) as archive:
            inputs_of_run = {name: archive[name] for name in archive.files}
        save(target, reference, inputs_of_run, sha256_of(self._plan.reference_model))
        self._notes.append(f"the reference's tensors are in {target}")

    def _source(self, operator: str) -> str:
        node = self._nodes.find(operator) if self._nodes else None
        return str(node) if node else ""


def _model_of(recorded: Recorded, workspace: Path) -> Path | None:
    """Return the model that a script ran on the device, where the workspace holds it."""
    path = workspace / recorded.record.model
    return (
        path
        if recorded.record.model and path.resolve().is_relative_to(workspace.resolve()) and path.is_file()
        else None
    )
