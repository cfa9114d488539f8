"""The rules for the road to the provider: who may be reached, and whose names are asked for."""
import ipaddress
import urllib.parse

NETWORKS = {
    "private": ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
    "of this link, where clouds keep credentials": ["169.254.0.0/16", "fe80::/10"],
}


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
    """(host, port) of what has to be reached; None: nothing. Without a host: the gateway refuses the configuration."""
    if config.get("sandbox"):
        return None
    url = config.get("upstream_url", "")
    return urllib.parse.urlsplit(url).hostname or "", port_of(url)


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
    host, port = wanted
    if not host:
        return errors
    public = [ports for _, block, _, ports in reached if block and not is_inside(block, NETWORKS["private"])]
    if not any(ports and ("TCP", port) in ports for ports in public):
        errors.append(f"no NetworkPolicy lets it out to port {port} of its provider")
    if not is_literal(host):
        errors += [f"no NetworkPolicy lets it ask for the address of {host} over {protocol}"
                   for protocol in ("UDP", "TCP")
                   if not any(block is None and ports and (protocol, 53) in ports for _, block, _, ports in reached)]
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
