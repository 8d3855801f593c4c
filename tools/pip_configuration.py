"""This machine's pip configuration, wherever it was said, as one file; and the paths that it and OpenSSL name.

`python -m tools.pip_configuration FILE` writes the one and prints the others, for whoever runs pip in another root.
Neither belongs into an image.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path


def write(file: Path) -> list[str]:
    """Writes it to `file` and answers the paths."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = {}
    for line in listed.stdout.splitlines():
        name, value = line.split("=", 1)
        settings[name.rsplit(".", 1)[1]] = str(ast.literal_eval(value))
    lines = [f"{name} = " + value.replace("\n", "\n    ") for name, value in settings.items()]
    file.write_text("\n".join(["[global]", *lines, ""]))
    words = " ".join([*settings.values(), os.environ.get("SSL_CERT_FILE", "")]).split()
    return sorted({word for word in words if word.startswith("/") and Path(word).exists()})


if __name__ == "__main__":
    print(*write(Path(sys.argv[1])), sep="\n")
