"""Fail where what is locked has known vulnerabilities, by PyPI's advisories.

Where they cannot be asked for (no network, a package index that passes none on), that is said
aloud: then nothing was audited, which is no failure of the change under test.
"""

import json
import subprocess
import sys

LOCKS = "requirements.lock", "infra/requirements.lock"


def audited(lock: str) -> list[dict]:
    """What pip-audit says of each locked package; nothing where it could not ask."""
    done = subprocess.run(
        ["pip-audit", "--no-deps", "--disable-pip", "-r", lock, "-f", "json"],
        capture_output=True,
        text=True,
    )
    try:
        return json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"{lock}: pip-audit has no answer: {done.stderr.strip()[-300:]}")
        return []


found, silent, asked = [], set(), set()
for lock in LOCKS:
    for package in audited(lock):
        asked.add(package["name"])
        if "skip_reason" in package:
            silent.add(package["name"])
        for one in package.get("vulns", ()):
            mended = ", ".join(one["fix_versions"]) or "no release yet"
            found.append(
                f"{lock}: {package['name']} {package['version']}: {one['id']}, mended in {mended}"
            )
if silent == asked:
    print(f"NOT AUDITED: no advisories could be had of any of {len(asked)} packages")
elif silent:
    found.append(f"not audited, as PyPI does not know them: {', '.join(sorted(silent))}")
else:
    print(f"{len(asked)} packages audited, {len(found)} vulnerabilities")
if found:
    sys.exit("\n".join(found))
