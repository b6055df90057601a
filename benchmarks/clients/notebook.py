"""The least that a notebook runner has to do, for the two floors: requests out, outputs in."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SESSION = os.urandom(16).hex()

Parts = list[bytes]
"""Header, parent_header, metadata, content."""


def request(msg_type: str, content: dict[str, Any]) -> tuple[str, Parts]:
    """A new request; returns its id and its parts."""
    msg_id = os.urandom(16).hex()
    header = {
        "msg_id": msg_id,
        "msg_type": msg_type,
        "session": SESSION,
        "username": "floor",
        "date": datetime.now(UTC).isoformat(),
        "version": "5.3",
    }
    return msg_id, [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]


class Notebook:
    """A notebook that is executed cell by cell.

    A cell is done when its reply and its idle status have both arrived.
    """

    def __init__(self, path: Path) -> None:
        self._document = json.loads(path.read_bytes())
        self._cells = [cell for cell in self._document["cells"] if cell["cell_type"] == "code"]
        self._at = -1
        self._msg_id = ""
        self._missing: set[str] = set()

    def next_request(self) -> Parts | None:
        """The next cell's execute_request; None after the last one."""
        self._at += 1
        if self._at == len(self._cells):
            return None
        content = {
            "code": self._cells[self._at]["source"],
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        self._msg_id, parts = request("execute_request", content)
        self._missing = {"reply", "idle"}
        return parts

    def receive(self, parts: list[Any]) -> bool:
        """Take one message in.

        Args:
            parts: header, parent_header, metadata, content… as bytes-like objects.

        Returns:
            whether the current cell is done now.
        """
        if json.loads(bytes(parts[1])).get("msg_id") != self._msg_id:
            return False
        cell = self._cells[self._at]
        content = json.loads(bytes(parts[3]))
        match json.loads(bytes(parts[0]))["msg_type"]:
            case "stream":
                _add_text(cell["outputs"], content)
            case "display_data" | "execute_result" | "error" as kind:
                content.pop("transient", None)
                cell["outputs"].append({"output_type": kind, **content})
            case "execute_reply":
                cell["execution_count"] = content["execution_count"]
                self._missing.discard("reply")
                return not self._missing
            case "status" if content["execution_state"] == "idle":
                self._missing.discard("idle")
                return not self._missing
        return False

    def save(self, path: Path) -> None:
        for cell in self._cells:
            for output in cell["outputs"]:
                if output["output_type"] == "stream":
                    output["text"] = "".join(output["text"])
        path.write_text(json.dumps(self._document))


def _add_text(outputs: list[dict[str, Any]], content: dict[str, Any]) -> None:
    last = outputs[-1] if outputs else {}
    if last.get("output_type") == "stream" and last["name"] == content["name"]:
        last["text"].append(content["text"])
    else:
        outputs.append(
            {"output_type": "stream", "name": content["name"], "text": [content["text"]]}
        )
