"""What a gate came to, in words."""

from __future__ import annotations

from converters.report.figures import Gate


def explain(gate: Gate) -> str:
    """The verdict in one or two sentences."""
    of = "of float's value" if gate.relative else "points"
    scale = "% " if gate.relative else ""
    measured = f"{100 * gate.drop:.2f} {scale}{of}"
    if gate.low is not None and gate.high is not None:
        measured += f" (95 % interval {100 * gate.low:.2f} to {100 * gate.high:.2f})"
    what = "rise" if gate.relative else "drop"
    said = (
        f"{gate.metric}: {what} of {measured} on {gate.samples:,} samples, "
        f"allowed {100 * gate.limit:g} {scale}{of}: gate {gate.verdict}."
    )
    if gate.verdict == "open":
        said += " " + _more_samples(gate)
    if gate.basis == "agreement":
        said += (
            " This is disagreement with the float model, and accuracy can drop at most by as much; "
            "give --evaluate DATA with the right answers to measure the drop itself."
        )
    return said


def _more_samples(gate: Gate) -> str:
    if gate.samples_needed is None:
        return "The drop is so near the limit that no sensible number of samples would decide; allow more, or less."
    return f"These samples do not decide; about {gate.samples_needed:,} would, if the drop stays as measured."
