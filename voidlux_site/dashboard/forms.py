"""The forms of the dashboard; limits are those of the services behind them."""

from __future__ import annotations

from typing import Any

from django import forms

from p2p.protocol.limits import (
    NAME_CHARS_MAX,
    POST_CHARS_MAX,
    REVIEW_REASONS_CHARS_MAX,
)
from swarm.agents.adapters import all_tools
from swarm.services.agents import AGENTS_MAX

OUTLINE_EXAMPLE = """# Greet in two languages
Keep every greeting in a file of its own.

- [ ] Write the English greeting
  ```sh
  echo "Hello, galaxy" > hello.txt
  ```
- [ ] Write the Latin greeting
  ```sh
  echo "Salve, galaxia" > salve.txt
  ```
- [ ] List all greetings (after: 1, 2)
  test: test -s greetings.txt
  ```sh
  cat hello.txt salve.txt > greetings.txt
  ```
"""

OUTLINE_PLACEHOLDER = """# Title of the goal
- [ ] First subtask
  ```sh
  echo what the shell agent runs
  ```
- [ ] Second subtask (after: 1)"""


def listed(text: str) -> list[str]:
    """Return the trimmed, non-empty parts of a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


class GoalForm(forms.Form):
    """A new goal."""

    description = forms.CharField(
        label="Outline",
        max_length=65_536,
        strip=False,
        widget=forms.Textarea(
            attrs={
                "rows": 11,
                "spellcheck": "false",
                "class": "code",
                "placeholder": OUTLINE_PLACEHOLDER,
            }
        ),
        help_text=(
            "A Markdown checklist of 1 to 8 subtasks. A shell block is what the shell tool runs, "
            "without one an agent that takes prompts does it; "
            "“after: 1” waits for subtask 1, “test:” proves a subtask, “needs:” names capabilities."
            " Without a checklist, a planner makes the subtasks."
        ),
    )
    repository = forms.CharField(
        max_length=512,
        help_text="URL or absolute path of the git remote that is cloned and pushed to.",
        widget=forms.TextInput(attrs={"placeholder": "ssh://git@host/team/project.git"}),
    )
    base_branch = forms.CharField(
        required=False, max_length=200, help_text="Empty: the remote’s default branch."
    )
    test_command = forms.CharField(
        required=False,
        max_length=1000,
        help_text="Run on the merged result; it must pass before the goal is done. "
        "Empty, where the node names none: what .voidlux.toml of the repository says.",
        widget=forms.TextInput(attrs={"placeholder": "python -m pytest -q", "class": "code"}),
    )
    auto_merge = forms.TypedChoiceField(
        label="Merge its pull request",
        required=False,
        choices=[
            ("", "As this node is set"),
            ("yes", "By itself, when its checks are green"),
            ("no", "Never by itself"),
        ],
        coerce="yes".__eq__,
        empty_value=None,
        help_text="Where the repository is on GitHub or GitLab.",
    )
    plan_approval = forms.ChoiceField(
        label="A plan that was made for it",
        required=False,
        choices=[
            ("", "As this node is set"),
            ("approve", "Waits for your approval"),
            ("auto", "Is carried out at once"),
        ],
        help_text="An outline is your own plan, and waits for nobody.",
    )


class AgentForm(forms.Form):
    """One new agent of this node, or several alike."""

    name = forms.CharField(max_length=64, help_text="Letters, digits, “.”, “_” or “-”.")
    count = forms.IntegerField(
        label="How many",
        required=False,
        min_value=1,
        max_value=AGENTS_MAX,
        initial=1,
        help_text="Several are named by the name and a number: “home-1”, “home-2”.",
    )
    tool = forms.ChoiceField(initial="shell")
    model = forms.CharField(
        required=False, max_length=100, help_text="For tools that take one; empty: the tool’s own."
    )
    capabilities = forms.CharField(
        required=False, max_length=500, help_text="Separated by commas, such as python, testing."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the tools of this node."""
        super().__init__(*args, **kwargs)
        tools = sorted(all_tools().values(), key=lambda tool: tool.name)
        choices = [(tool.name, tool.title or tool.name) for tool in tools]
        self.fields["tool"].choices = choices  # type: ignore[attr-defined]

    def clean_count(self) -> int:
        """Return how many are wanted, 1 unless told otherwise."""
        return self.cleaned_data["count"] or 1

    def clean_capabilities(self) -> list[str]:
        """Return the trimmed, non-empty parts."""
        return listed(self.cleaned_data["capabilities"])


class PostForm(forms.Form):
    """A post for the wall."""

    content = forms.CharField(
        label="Text",
        # The limit is the service's: a browser sends each line end as two characters.
        widget=forms.Textarea(attrs={"rows": 5, "maxlength": POST_CHARS_MAX}),
        help_text=(
            f"At most {POST_CHARS_MAX} characters, for everybody in the network to read. "
            "It can be taken off again, but who has read it has read it."
        ),
    )
    author = forms.CharField(max_length=NAME_CHARS_MAX)


class RejectionForm(forms.Form):
    """Why a commit is sent back by its reviewer."""

    reasons = forms.CharField(
        label="Reasons, to reject it",
        max_length=REVIEW_REASONS_CHARS_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="The agent of the next attempt reads them.",
    )
