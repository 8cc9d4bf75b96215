# @title Set up
# @markdown Finds the course or fetches it, and installs what is missing.
import os
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from IPython import get_ipython
from packaging.requirements import Requirement

url, tag = "https://github.com/@REPO@", "@TAG@"
start = Path(os.environ.get("COURSE", ".")).resolve()
places = [start, *start.parents, start / url.split("/")[-1]]
signs = ["notebooks", "helpers/catalogue.py", "pocket/model/model_index.json"]
found = [p for p in places if all((p / sign).exists() for sign in signs)]
COURSE = (found or places[-1:])[0]
if not found:
    os.environ["GIT_TERMINAL_PROMPT"] = "0"
    clone = f'git clone -q --depth 1 --branch {tag} {url} "{COURSE}"'
    if subprocess.getstatusoutput(clone)[0]:
        raise SystemExit(f"Could not fetch {url} at {tag}: offline, or notebook moved?")
print("Course:", "found in" if found else "fetched into", f"the folder {COURSE.name}")
OUT = Path(os.environ.get("COURSE_OUT", COURSE / "out")).resolve()  # what you make
try:
    OUT.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=OUT).close()
except OSError:
    OUT = Path(tempfile.gettempdir()) / f"{COURSE.name}-{Path.home().name}"
    OUT.mkdir(exist_ok=True)
    print(f"This course is read-only: what you make goes to {OUT}; keep what you like.")
sys.path[:] = [str(COURSE), *(p for p in sys.path if p != str(COURSE))]


def missing(need):
    have = [dist.version for dist in metadata.distributions(name=need.name)]
    return not have or not need.specifier.contains(have[0], prereleases=True)


lines = (COURSE / "requirements.txt").read_text().splitlines()
needs = [Requirement(line) for line in lines if line and not line.startswith("#")]
if [*metadata.distributions(name="torchao")]:  # peft refuses to work beside older ones
    needs.append(Requirement("torchao>=0.16"))
fixed = ["torch", "numpy", "ipywidgets"]  # never replaced under a running kernel
install = [str(n) for n in needs if missing(n) and n.name not in fixed]
print("Installing:", ", ".join(install) or "nothing, it is all here")
if install:
    keep = [f"{n}=={d.version}" for n in fixed for d in metadata.distributions(name=n)]
    (OUT / "keep.txt").write_text("\n".join(keep))
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", str(OUT / "keep.txt")]
    if subprocess.run(pip + install).returncode:
        raise SystemExit("pip could not install them; its message says why.")
for need in filter(missing, needs):
    print(f"{need} is needed: install it yourself, then restart the kernel.")
if shell := get_ipython():  # shows the form fields, where it is not Colab
    shell.extension_manager.load_extension("helpers.forms")
