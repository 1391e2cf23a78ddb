"""Runs the pages' scripts in node, to hold them against Python."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from steps.deploy.demo import SCRIPTS
from steps.deploy.pronounce_page import PAGES

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
PROGRAM = """
const {readFileSync} = require("fs");
const scripts = %s.map(name => readFileSync(name, "utf8").replace('"use strict";', ""));
const made = (0, eval)(`"use strict"; (() => {${scripts.join("\\n")}; return (%s); })()`);
const output = made(JSON.parse(readFileSync(0, "utf8")));
process.stdout.write(JSON.stringify(output, (_, value) => ArrayBuffer.isView(value) ? Array.from(value) : value));
"""


def run_js(function: str, value):
    """What `function`, JavaScript that sees all scripts of the demo, makes of a value (arrays become lists)."""
    program = PROGRAM % (json.dumps([str(PAGES / name) for name in SCRIPTS]), function)
    done = subprocess.run([NODE, "-e", program], input=json.dumps(value, default=np.ndarray.tolist), text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
