"""What the played model does in each program: looks, edits, commits, and says that it is done."""

from __future__ import annotations

from tests.support.model_server.script import Call, Conversation, Step

CONTENT = 'GREETING = "hello"\n'
SUMMARY = "Wrote the greeting."
SAVE = "git add greeting.py && git commit -q -m 'Add the greeting' && git rev-parse HEAD"
PATCH = f"""apply_patch <<'END'
*** Begin Patch
*** Add File: greeting.py
+{CONTENT.strip()}
*** End Patch
END"""
ASKS_FIRST = "python3 -c 'import os; print(os.getcwd())'"
BEYOND_THE_SANDBOX = {
    "sandbox_permissions": "require_escalated",
    "justification": "Do you want me to see where I am?",
}


def _completes(tool: str) -> Step:
    """Return the last call: the task as the prompt names it, the commit as git has printed it."""

    def step(said: Conversation) -> Call:
        arguments = {"task_id": said.task_id, "summary": SUMMARY, "commit": said.commit}
        return Call(tool, arguments)

    return step


CLAUDE: list[Step] = [
    lambda said: Call("Bash", {"command": ASKS_FIRST, "description": "Show the folder"}),
    lambda said: Call("Write", {"file_path": f"{said.folder}/greeting.py", "content": CONTENT}),
    lambda said: Call("Bash", {"command": SAVE, "description": "Commit"}),
    _completes("mcp__voidlux__task_complete"),
]
CODEX: list[Step] = [
    lambda said: Call("exec_command", {"cmd": "pwd", **BEYOND_THE_SANDBOX}),
    lambda said: Call("exec_command", {"cmd": PATCH}),
    lambda said: Call("exec_command", {"cmd": SAVE}),
    _completes("mcp__voidlux__task_complete"),
]
OPENCODE: list[Step] = [
    lambda said: Call("bash", {"command": "pwd", "description": "Show the folder"}),
    lambda said: Call("write", {"filePath": f"{said.folder}/greeting.py", "content": CONTENT}),
    lambda said: Call("bash", {"command": SAVE, "description": "Commit"}),
    _completes("voidlux_task_complete"),
]
