"""The page beside the files names what the files have."""

from __future__ import annotations

import re

from tests.house import ROOT

FOLDER = ROOT / "deploy" / "iam"
PAGE = (FOLDER / "README.md").read_text()
PARAMETERS = {
    name
    for path in FOLDER.glob("cloudformation/*.yaml")
    for name in re.findall(r"^  (\w+):\n    Description:", path.read_text(), re.MULTILINE)
}
VARIABLES = {
    name
    for path in FOLDER.glob("terraform/*/variables.tf")
    for name in re.findall(r'^variable "(\w+)"', path.read_text(), re.MULTILINE)
}


def test_every_parameter_and_variable_that_is_named_exists() -> None:
    rows = [line for line in PAGE.split("## What to say when")[1].splitlines() if line.startswith("| ")][1:]
    cells = [[re.findall(r"`(\w+)", cell) for cell in row.strip("|").split("|")[1:]] for row in rows]
    assert len(cells) > 5
    assert {name for row in cells for name in row[0]} <= PARAMETERS
    assert {name for row in cells for name in row[1]} <= VARIABLES


def test_the_commands_and_modules_that_are_shown_use_what_the_files_have() -> None:
    (shell,), (modules,) = (
        re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) for kind in ("sh", "hcl")
    )
    assert {*re.findall(r"\b([A-Z]\w+)=", shell)} - {"ISSUER"} <= PARAMETERS
    assert {*re.findall(r"^  (\w+) +=", modules, re.MULTILINE)} - {"source", "providers"} <= VARIABLES
    for path in re.findall(r"(?:template-file |\./)([\w/.-]+)", shell + modules):
        assert (FOLDER / path).exists()
