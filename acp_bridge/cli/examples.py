"""What ``--help`` shows of each command in use; the test suite runs every line."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A line for the shell, and what it is for."""

    line: str
    meaning: str


def examples_of(command: str, action: str | None = None) -> Iterator[Example]:
    """The examples of a command, or of one of its actions.

    Args:
        command: its name, or ``""`` for the whole program.
        action: the word after it, for commands that have actions of their own.
    """
    for line, meaning in _EXAMPLES[command].items():
        if action is None or f"acp-bridge {command} {action}" in line:
            yield Example(line, meaning)


def examples_text(command: str, action: str | None = None) -> str:
    """The same as the end of a help page."""
    examples = list(examples_of(command, action))
    width = max(len(example.line) for example in examples)
    lines = [f"  {example.line:{width}}  {example.meaning}\n" for example in examples]
    return f"examples:\n{''.join(lines)}"


_EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "": {
        "acp-bridge setup": "install the agent",
        "acp-bridge clients zed --write": "let the editor start the bridge",
        "acp-bridge doctor": "who would pay here, and why",
        "acp-bridge": "bridge to the installed agent, subscription",
        "acp-bridge --mode api-key -- claude-agent-acp": "bridge to this agent, API key",
        'acp-bridge exec -- claude -p "hello"': "Claude Code itself, in the mode",
        "acp-bridge demo": "see it work without an account",
        "acp-bridge explain --plan max-20x": "what is charged, and by which rule",
    },
    "run": {
        "acp-bridge": "the installed agent, paid by the plan",
        "acp-bridge --mode api-key --api-key-file ~/anthropic-key": "paid by a key",
        'acp-bridge --mode api-key --api-key-command "pass show anthropic"': "by one from a store",
        "acp-bridge --mode endpoint --endpoint-url https://llm.example.com": "by a gateway",
        "acp-bridge --guard enforce -- claude-agent-acp": "another agent, proof on the wire",
    },
    "exec": {
        "acp-bridge exec -- claude": "a terminal session",
        'acp-bridge exec --mode api-key -- claude -p "hello"': "one answer, paid by a key",
        "acp-bridge exec -- sh nightly.sh": "a script and every claude that it starts",
    },
    "ask": {
        'acp-bridge ask "What does this project do?"': "one answer, from the current folder",
        "acp-bridge ask --cwd src --approve - < prompt.txt": "from a file, with edits granted",
        'acp-bridge ask --mode api-key --model haiku "hello"': "another payer and model",
    },
    "demo": {
        "acp-bridge demo": "each mode",
        "acp-bridge demo subscription": "one mode",
    },
    "prove": {
        "acp-bridge prove": "every kind of leak once",
        "acp-bridge prove --full": "in every place and mode",
        "acp-bridge prove --mode subscription --only ANTHROPIC_API_KEY": "one kind, one mode",
    },
    "usage": {
        "acp-bridge usage": "by mode and model",
        "acp-bridge usage --by day,project --since 7d": "the last week",
        "acp-bridge usage --csv --since 2026-01-01 > usage.csv": "for a spreadsheet",
        "acp-bridge usage --plot": "what each day cost",
        "acp-bridge usage --reconcile": "what each witness saw, and missed",
    },
    "budget": {
        "acp-bridge budget": "how all stand",
        "acp-bridge budget set daily --window day --limit-tokens 5000000": "set one",
        "acp-bridge budget show daily --plot": "when it will be used up",
        "acp-bridge budget remove daily": "take it away",
        "acp-bridge budget release": "free what killed runs hold",
    },
    "ledger": {
        "acp-bridge ledger verify": "is it sound?",
        "acp-bridge ledger backup copy.sqlite3": "a copy, while bridges write",
        "acp-bridge ledger export --since 30d --format csv": "every entry",
        "acp-bridge ledger prune --before 2026-01-01": "what would be deleted",
    },
    "status": {
        "acp-bridge status": "who pays, and what says so",
        "acp-bridge status --watch": "the bridges that live, until Ctrl-C",
        "acp-bridge status --json": "for programs",
    },
    "statusline": {
        "echo '{}' | acp-bridge statusline": "what Claude Code would show without the bridge",
    },
    "completion": {
        "acp-bridge completion bash >> ~/.bashrc": "from the next shell on",
        "acp-bridge completion zsh >> ~/.zshrc": "the same for zsh",
        "acp-bridge completion fish >> ~/.config/fish/config.fish": "and for fish",
    },
    "receipt": {
        "acp-bridge receipt": "of the newest session",
        "acp-bridge receipt --markdown > receipt.md": "to be pasted into an issue",
        "acp-bridge receipt --all --json": "in each run that had it, for programs",
    },
    "doctor": {
        "acp-bridge doctor": "who would pay in this folder, and why",
        "acp-bridge doctor --session": "whether running bridges hold",
        "acp-bridge doctor --json": "for programs",
    },
    "setup": {
        "acp-bridge setup": "install or update the agent",
        "acp-bridge setup --from ~/agent": "use the agent that is installed there",
        "acp-bridge setup --check": "only look",
    },
    "clients": {
        "acp-bridge clients": "which there are, and how each is configured",
        "acp-bridge clients zed": "what to put where",
        "acp-bridge clients zed --mode api-key --write": "put it there, in this mode",
        "acp-bridge clients zed --undo": "put back what was there",
        "acp-bridge clients generic": "for a client that is not known",
    },
    "explain": {
        "acp-bridge explain": "of this configuration",
        "acp-bridge explain --plan max-20x": "on this plan",
        "acp-bridge explain --credential api_key --surface terminal": "of another way to run it",
        "acp-bridge explain --date 2026-06-15": "as the rules were on a day",
    },
}
