#!/usr/bin/env python3
"""Prints what the program consists of: a software bill of materials in the CycloneDX format, from what cargo resolves."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cargo(*words):
    return subprocess.run(["cargo", *words], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


host = next(line.split()[1] for line in subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines() if line.startswith("host:"))
metadata = json.loads(cargo("metadata", "--format-version=1", "--locked", f"--filter-platform={host}"))
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
(root,) = (package for package in packages.values() if package["name"] == "frontrow")

# What is linked or run while building; not what only tests need.
needed, todo = set(), [root["id"]]
while todo:
    current = todo.pop()
    if current not in needed:
        needed.add(current)
        todo += [each["pkg"] for each in nodes[current]["deps"] if any(kind["kind"] != "dev" for kind in each["dep_kinds"])]

checksums, entry = {}, {}
for line in (ROOT / "Cargo.lock").read_text().splitlines():
    if line == "[[package]]":
        entry = {}
    elif " = " in line:
        key, value = line.split(" = ", 1)
        entry[key] = value.strip('"')
        if key == "checksum":
            checksums[entry["name"], entry["version"]] = entry[key]


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package):
    told = {"type": "library", "bom-ref": purl(package), "name": package["name"], "version": package["version"], "purl": purl(package)}
    if package["license"]:
        told["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        told["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        told["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return told


listed = sorted((packages[each] for each in needed), key=lambda package: (package["name"], package["version"]))
bom = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.5",
    "version": 1,
    "metadata": {"component": {**component(root), "type": "application"}},
    "components": [component(package) for package in listed if package["id"] != root["id"]],
    "dependencies": [
        {"ref": purl(package), "dependsOn": sorted({purl(packages[each["pkg"]]) for each in nodes[package["id"]]["deps"] if each["pkg"] in needed})}
        for package in listed
    ],
}
json.dump(bom, sys.stdout, indent=1, sort_keys=True)
print()
