"""What no schema knows of the files that deploy Frontrow: that the files, variables, ports and numbers they name are there, and agree."""

import json
import re
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
faults = []


def claim(true, fault):
    if not true:
        faults.append(fault)


def documents(path):
    return list(YAML(typ="safe").load_all((ROOT / path).read_text()))


def known_variables():
    return set(re.findall(r"FRONTROW_[A-Z_]+", (ROOT / "README.md").read_text()))


# docker-compose.yml: what is mounted exists, images are pinned, variables are documented, nothing listens for others.
(compose,) = documents("docker-compose.yml")
own = {"FRONTROW_COMPOSE_SUBNET", "FRONTROW_COMPOSE_PORT", "FRONTROW_COMPOSE_POSTGRES_PASSWORD", "FRONTROW_COMPOSE_APP_PASSWORD"}
for name, service in compose["services"].items():
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            claim((ROOT / source).exists(), f"{name} mounts {source}, which is not there")
        else:
            claim(source in compose["volumes"], f"{name} mounts {source}, which is no volume")
    if "build" not in service:
        claim(re.search(r":v?\d", service["image"]), f"{name}: {service['image']} has no version")
    elif isinstance(service["build"], dict):
        claim((ROOT / service["build"]["dockerfile"]).exists(), f"{name}: {service['build']['dockerfile']} is not there")
    for port in service.get("ports", []):
        claim(port.startswith("127.0.0.1:"), f"{name} listens for others than this machine: {port}")
    for other in service.get("depends_on", []):
        claim(other in compose["services"], f"{name} depends on {other}")
    environment = service.get("environment", {})
    for variable in environment:
        claim(not variable.startswith("FRONTROW_") or variable in known_variables(), f"{name}: {variable} is not documented")
    for used in re.findall(r"\$\{(FRONTROW_[A-Z_]+)", json.dumps(service)):
        claim(used in own | known_variables(), f"{name}: {used} is not documented")
# Metrics are on a listener of their own, and that is where Prometheus asks.
listens = compose["services"]["server"]["environment"]
(prometheus,) = documents("deploy/prometheus/prometheus.yml")
(asked,) = (found["port"] for job in prometheus["scrape_configs"] for found in job["dns_sd_configs"])
claim(listens["FRONTROW_METRICS_LISTEN"].split(":")[1] == str(asked), f"Prometheus asks port {asked}")
claim(listens["FRONTROW_METRICS_LISTEN"] != listens["FRONTROW_LISTEN"], "metrics are served to everybody")
claim(not any(str(asked) in port for each in compose["services"].values() for port in each.get("ports", [])), f"port {asked} is published")
unit = (ROOT / "deploy/systemd/frontrow@.service").read_text()
claim(re.search(r"^Environment=FRONTROW_METRICS_LISTEN=127\.0\.0\.1:", unit, re.M), "frontrow@.service serves metrics to everybody")
grace = int(compose["services"]["server"]["stop_grace_period"].rstrip("s"))

# Kubernetes: every file is in the kustomization, and shutdown has the time that it takes.
(kustomization,) = documents("deploy/kubernetes/kustomization.yaml")
files = {path.name for path in (ROOT / "deploy/kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
claim(files == set(kustomization["resources"]), f"kustomization.yaml lists {kustomization['resources']}, there are {sorted(files)}")
objects = {(each["kind"], each["metadata"]["name"]): each for file in files for each in documents(f"deploy/kubernetes/{file}")}
pod = objects["Deployment", "frontrow"]["spec"]["template"]
(server,) = pod["spec"]["containers"]
config = objects["ConfigMap", "frontrow"]["data"]
for variable in config:
    claim(variable in known_variables(), f"the ConfigMap's {variable} is not documented")
pause = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
shutdown = int(config["FRONTROW_SHUTDOWN_SECONDS"])
claim(pod["spec"]["terminationGracePeriodSeconds"] >= pause + shutdown + 10, "terminationGracePeriodSeconds is too short")
claim(grace >= shutdown + 10, "stop_grace_period is too short")
ports = {each["name"]: str(each["containerPort"]) for each in server["ports"]}
for name, setting in (("http", "FRONTROW_LISTEN"), ("metrics", "FRONTROW_METRICS_LISTEN")):
    claim(ports[name] == config[setting].split(":")[1], f"the container's port {name} is not where the server listens")
claim(pod["metadata"]["annotations"]["prometheus.io/port"] == ports["metrics"], "Prometheus is sent to another port")
claim([each["targetPort"] for each in objects["Service", "frontrow"]["spec"]["ports"]] == ["http"], "the Service leads to more than http")
policy = objects["NetworkPolicy", "frontrow"]["spec"]["ingress"]
claim([[each["port"] for each in rule["ports"]] for rule in policy] == [["http"], ["metrics"]], "the NetworkPolicy lets others in")
for kind, name in (("Deployment", "frontrow"), ("Job", "frontrow-migrate")):
    spec = objects[kind, name]["spec"]["template"]["spec"]
    claim(spec.get("enableServiceLinks") is False, f"{kind}: variables of the Service would be refused as settings that nobody knows")
labels = pod["metadata"]["labels"].items()
for kind in ("Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"):
    spec = objects[kind, "frontrow"]["spec"]
    selector = spec.get("podSelector") or spec["selector"]
    selector = selector.get("matchLabels", selector)
    claim(selector.items() <= labels, f"{kind} selects other pods")
probes = {server[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
claim(probes == {"/health/live", "/health/ready"}, f"probes ask {probes}")

# Grafana: the datasource is the one that panels name, and dashboards are where the provider looks.
(sources,) = documents("deploy/grafana/provisioning/datasources/prometheus.yml")
(providers,) = documents("deploy/grafana/provisioning/dashboards/frontrow.yml")
uid = sources["datasources"][0]["uid"]
mounts = dict(volume.split(":")[:2] for volume in compose["services"]["grafana"]["volumes"])
path = providers["providers"][0]["options"]["path"]
claim(path in mounts.values(), f"nothing is mounted at {path}")
for file in (ROOT / "deploy/grafana/dashboards").glob("*.json"):
    dashboard = json.loads(file.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    claim(len(ids) == len(set(ids)), f"{file.name} has an id twice")
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            claim(target["datasource"]["uid"] == uid, f"{file.name}, {panel['title']}: another datasource")

# nginx of compose: only what has to differ does.
def directives(path):
    text = re.sub(r"#.*", "", (ROOT / path).read_text())
    return [line.strip() for line in text.splitlines() if line.strip() and "server " not in line]


beside = [line for line in directives("deploy/compose/nginx/upstreams.conf") if not line.startswith("resolver")]
claim(beside == directives("deploy/nginx/frontrow/upstreams.conf"), "the upstreams of compose and of deploy/nginx differ in more than servers")

for fault in faults:
    print(fault)
sys.exit(1 if faults else 0)
