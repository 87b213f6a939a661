"""An example or two of every command, for its `--help`."""

import click

ID = "0192f3a0-1b2c-7d3e-8f40-5a6b7c8d9e0f"

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("demo",),
    "play": ("play", "play --fresh --rate 120"),
    "place": ("place --watch", "place --sku OAK-CHAIR --quantity 4 --card tok_declined"),
    "list": ("list", "list --status awaiting_approval --json"),
    "show": (f"show {ID}", f"show {ID} --history"),
    "explain": (f"explain {ID}", f"explain {ID} --json"),
    "watch": (f"watch {ID}",),
    "cancel": (f"cancel {ID}",),
    "approve": (f'approve {ID} --note "a regular"', f"approve {ID} --refuse"),
    "retry": (f"retry {ID} capture",),
    "reverse": (f"reverse {ID}",),
    "settle": (f'settle {ID} dispatch --note "handed over at the counter"',),
    "deadline": (f"deadline {ID} approval --in 2d", f"deadline {ID} approval --never"),
    "dead-letters": ("dead-letters list", f"dead-letters replay {ID}"),
    "dead-letters list": ("dead-letters list --service payment",),
    "dead-letters show": (f"dead-letters show {ID}",),
    "dead-letters replay": (f"dead-letters replay {ID}", "dead-letters replay --all --service payment"),
    "dead-letters discard": (f"dead-letters discard {ID}",),
    "simulation": ("simulation show", "simulation restore"),
    "simulation show": ("simulation show --service shipping",),
    "simulation set": ("simulation set --service shipping --party northwind-parcels --outage",),
    "simulation restore": ("simulation restore",),
    "forget": ("forget alice",),
    "up": ("up --servers", "up --broker amqp://guest:guest@127.0.0.1/ --workers payment=3"),
    "doctor": ("doctor", "doctor --database postgresql+psycopg://postgres@127.0.0.1/{service} --json"),
    "audit": ("audit", "audit --wait 60"),
    "seal": ("seal --output today.json",),
    "republish": ("republish --since 2026-11-28T12:00:00",),
    "provision": ("provision",),
    "definitions": ("definitions definitions.json --passwords deploy/secrets --demo on",),
    "asyncapi": ("asyncapi",),
    "prove": ("prove --seed 17 --orders 1000 --faults 20",),
    "key": ("key new --operator olga",),
    "key new": ("key new --customer alice --days 30",),
    "secrets": ("secrets /etc/fulfillment/secrets",),
}


def with_examples(command: click.Command, name: str) -> click.Command:
    """The command with its examples at the foot of its help, and its subcommands with theirs."""
    if name in EXAMPLES:
        lines = [f"  fulfillment {each}" for each in EXAMPLES[name]]
        command.epilog = "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *lines])
    for each, subcommand in command.commands.items() if isinstance(command, click.Group) else ():
        with_examples(subcommand, f"{name} {each}")
    return command
