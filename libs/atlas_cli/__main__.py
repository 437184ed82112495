"""The `atlas` command."""

from __future__ import annotations

import typer

from atlas_cli.commands.bench import bench_command
from atlas_cli.commands.grants import grants_app
from atlas_cli.commands.hot import hot_app
from atlas_cli.commands.load import load_command, verify_data_command
from atlas_cli.commands.local import answers_command, demo_command, up_command, verify_copies_command
from atlas_cli.commands.queries import query_app
from atlas_cli.commands.reads import get_command, lag_command, tenants_command

app = typer.Typer(
    name="atlas",
    help="Typed telemetry in, fresh-enough answers out. Errors end with 1, wrong usage with 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo_command)
app.command("up")(up_command)
app.command("answers")(answers_command)
app.command("verify-copies")(verify_copies_command)
app.command("load")(load_command)
app.command("get")(get_command)
app.command("tenants")(tenants_command)
app.command("lag")(lag_command)
app.add_typer(query_app)
app.add_typer(grants_app)
app.command("bench")(bench_command)
app.command("verify-data")(verify_data_command)
app.add_typer(hot_app, name="hot")


def main() -> None:
    """Run the command that the arguments name."""
    app()


if __name__ == "__main__":
    main()
