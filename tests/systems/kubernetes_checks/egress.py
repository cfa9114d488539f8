"""The rules for the road to the provider: who may be reached, and that a proxy is the only way where there is one."""
import ipaddress
import os
import re
import urllib.parse

from .checks import ALERTS, ROOT, read

NETWORKS = {
    "private": ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    "of this link, where clouds keep credentials": ["169.254.0.0/16", "fe80::/10"],
}
# What curl and the gateway read where upstream_proxy is empty.
VARIABLES = {"https_proxy", "all_proxy", "http_proxy", "no_proxy"}


def destinations(r):
    """What the gateway's pods may reach by all policies together: (policy, block or None, excepted, ports), where
    ports is None for all of them."""
    found = []
    for policy in r.all("NetworkPolicy"):
        if "lease-gateway" not in r.selected(policy["spec"]["podSelector"]["matchLabels"]):
            continue
        for rule in policy["spec"].get("egress", []):
            ports = None
            if rule.get("ports"):
                ports = {(port.get("protocol", "TCP"), port.get("port")) for port in rule["ports"]}
            for peer in rule.get("to") or [{"ipBlock": {"cidr": "0.0.0.0/0"}}, {"ipBlock": {"cidr": "::/0"}}]:
                block = peer.get("ipBlock")
                found.append((policy["metadata"]["name"], block and ipaddress.ip_network(block["cidr"]),
                              [ipaddress.ip_network(text) for text in (block or {}).get("except", [])], ports))
    return found


def is_inside(block, networks):
    return any(block.version == network.version and block.subnet_of(network)
               for network in map(ipaddress.ip_network, networks))


def holds(block, excepted, network):
    """Whether the rule lets anything of this network through."""
    network = ipaddress.ip_network(network)
    return (block.version == network.version and block.overlaps(network)
            and not any(other.version == network.version and network.subnet_of(other) for other in excepted))


def port_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def road(config):
    """(host, port, whether it is a proxy) of what has to be reached; None: nothing. Without a host: the gateway
    refuses the configuration."""
    if config.get("sandbox"):
        return None
    proxy = config.get("upstream_proxy") or ""
    url = proxy if proxy not in ("", "direct") else config.get("upstream_url", "")
    return urllib.parse.urlsplit(url).hostname or "", port_of(url), url == proxy


def is_literal(host):
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def rule_road(r):
    """The gateway reaches what it has to call, and, besides the database, nothing else."""
    errors = []
    reached = destinations(r)
    for policy, block, excepted, ports in reached:
        if ports is None:
            errors.append(f"NetworkPolicy {policy}: {block or 'pods'} may be reached at every port")
        if block is None or is_inside(block, NETWORKS["private"]):
            continue
        errors += [f"NetworkPolicy {policy}: addresses {what} may be reached by {block}"
                   for what, networks in NETWORKS.items() for network in networks
                   if holds(block, excepted, network)]
    wanted = road(r.config)
    if wanted is None:
        own = r.one("NetworkPolicy")
        return errors + (["it has a sandbox of its own, and calls nobody"] if own and own["spec"].get("egress") else [])
    host, port, is_proxy = wanted
    if not host:
        return errors
    public = [ports for _, block, _, ports in reached if block and not is_inside(block, NETWORKS["private"])]
    private = [ports for _, block, _, ports in reached if block is None or is_inside(block, NETWORKS["private"])]
    if is_proxy and public:
        errors.append("a NetworkPolicy lets it out past its proxy")
    if not any(ports and ("TCP", port) in ports for ports in (private if is_proxy else public)):
        errors.append(f"no NetworkPolicy lets it out to port {port} of its {'proxy' if is_proxy else 'provider'}")
    if not is_literal(host):
        errors += [f"no NetworkPolicy lets it ask for the address of {host} over {protocol}"
                   for protocol in ("UDP", "TCP")
                   if not any(block is None and ports and (protocol, 53) in ports for _, block, _, ports in reached)]
    return errors


def rule_proxy_secrets(r):
    """A proxy's password comes from a Secret, and goes to the proxy alone."""
    proxy, errors = str(r.config.get("upstream_proxy") or ""), []
    if "@" in proxy:
        errors.append("upstream_proxy: has a user or a password")
    if r.config.get("upstream_proxy_credentials_file") and not proxy.startswith("https://"):
        errors.append("upstream_proxy_credentials_file: the password would go over the network as it is")
    for name, item in r.workloads.items():
        container = item["spec"]["template"]["spec"]["containers"][0]
        errors += [f"{name}: {variable['name']} is set, and upstream_proxy is the place for it"
                   for variable in container.get("env", []) if variable["name"].lower() in VARIABLES]
    return errors


def rule_names(r):
    """The provider's name is asked for as it stands first: Kubernetes' own default, 5, tries it in each search domain
    before."""
    wanted = road(r.config)
    if wanted is None or not wanted[0] or is_literal(wanted[0]):
        return []
    options = {option["name"]: option.get("value") for option in r.pod.get("dnsConfig", {}).get("options", [])}
    dots = int(options.get("ndots", 5))
    if dots > wanted[0].count("."):
        return [f"dnsConfig: with ndots {dots} {wanted[0]} is asked for in each search domain first"]
    return []


def page_errors(gateway, text):
    """What deploy/egress.md calls by a name that it hasn't: options, metrics, alerts, outcomes of attempts, reasons of
    errors, variables."""
    known = {flag[2:].replace("-", "_") for flag in gateway.flags} | VARIABLES | {name.upper() for name in VARIABLES}
    known |= set(re.findall(r"^\| `(\w+)`", gateway.run("--print-metrics").stdout, re.M))
    known |= set(re.findall(r"alert: (\w+)", read(ALERTS)))
    for path in ("upstream/upstream_stats.h", "upstream/upstream_error.h"):
        known |= set(re.findall(r'"(\w+)"', read(os.path.join(ROOT, path))))
    named = re.findall(r"`(LeaseGateway\w+|[a-z]+(?:_[a-z]+)+|[A-Z]+(?:_[A-Z]+)+)(?::[^`]*)?`", text)
    return [f"deploy/egress.md: there is no {name}" for name in sorted(set(named) - known)]
