"""Prints a workflow for people, as the table and the diagram that the README shows."""

from datetime import timedelta

import click

from order_service.fulfillment.saga import Kind, Step, Workflow
from order_service.fulfillment.states import states
from order_service.fulfillment.workflow import WORKFLOWS
from shared.terminal import say

HEADINGS = (
    "step",
    "asked after",
    "kind",
    "request → success \\| refusal",
    "undo: request → fact \\| refusal",
    "timeout × attempts",
)
SHAPES = {Kind.COMPENSATABLE: '["{}"]', Kind.PIVOT: '{{{{"{}"}}}}', Kind.RETRIABLE: '("{}")'}


def table(flow: Workflow) -> str:
    """The steps as a Markdown table, one row each, wire types in code."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *(row(flow, step) for step in flow.steps)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def row(flow: Workflow, step: Step) -> tuple[str, ...]:
    after = ", ".join(step.after) or "–"
    if any(other.after == step.after for other in flow.steps[: flow.steps.index(step)]):
        after += " (parallel)"
    if step.when:
        after += f"; only if `{step.when}`"
    asked = f"`{step.request.type}`" if step.request else "asked of people, nothing is sent"
    answers = " \\| ".join(f"`{kind.type}`" for kind in (step.success, step.failure) if kind)
    return (
        f"`{step.name}`",
        after,
        f"**{step.kind}**" if step.kind is Kind.PIVOT else step.kind,
        f"{asked} → {answers}",
        undoing(step),
        f"{duration(step.timeout)} × {step.attempts}",
    )


def undoing(step: Step) -> str:
    if step.undo and step.undone:
        answers = " \\| ".join(f"`{kind.type}`" for kind in (step.undone, step.undo_refused) if kind)
        return f"`{step.undo.type}` → {answers}"
    return {
        Kind.COMPENSATABLE: "withdrawn, nothing is sent",
        Kind.PIVOT: "withdrawn, and covered by the undoing of the steps before it",
        Kind.RETRIABLE: "–",
    }[step.kind]


def duration(length: timedelta) -> str:
    """In days when they are whole, else in seconds: `2 days`, `90 s`, `0.5 s`."""
    days = length / timedelta(days=1)
    return f"{days:g} day{'s' * (days != 1)}" if days >= 1 and days.is_integer() else f"{length.total_seconds():g} s"


def mermaid(flow: Workflow) -> str:
    """The steps as a Mermaid flowchart: arrows for what follows a success, dotted for what turns it back."""
    lines = ["flowchart LR", "    placed([placed])"]
    last = {step.name for step in flow.steps} - {name for step in flow.steps for name in step.after}
    for step in flow.steps:
        label = f"{step.name}<br/>{step.kind}" + (f"<br/>if {step.when}" if step.when else "")
        lines.append(f"    {step.name}{SHAPES[step.kind].format(label)}")
        lines += [f"    {name} --> {step.name}" for name in step.after or ("placed",)]
        if step.failure:
            lines.append(f"    {step.name} -. {step.failure.type} .-> back")
        if step.name in last:
            lines.append(f"    {step.name} --> done")
    lines += [f"    done([{flow.milestones[0][0]}])", '    back(["cancelling: undo what was asked"])', ""]
    return "\n".join(lines)


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "mermaid"]), default="table", show_default=True)
@click.option(
    "--version",
    type=click.Choice([str(version) for version in WORKFLOWS]),
    default=str(max(WORKFLOWS)),
    show_default=True,
    help="Orders keep the version that they began with.",
)
@click.option("--states", "as_states", is_flag=True, help="Print each step's states and transitions instead.")
def describe(form: str, version: str, as_states: bool) -> None:
    """Print the workflow, as a Markdown table or a Mermaid diagram, or the states of its steps."""
    flow = WORKFLOWS[int(version)]
    text = states(flow) if as_states else table(flow) if form == "table" else mermaid(flow)
    say(*text.splitlines())
