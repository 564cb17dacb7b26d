# Checks SPF as python3-spf does, with the records on standard input in place of
# the DNS: {"records": {"TXT a.example": [...]}, "fail": [names], "queries":
# [[ip, sender, helo]]}. Prints a result for each query.
import ipaddress
import json
import sys

import spf

world = json.load(sys.stdin)
records, fail = world["records"], set(world["fail"] or [])


def lookup(name, qtype, tcpfallback=True, timeout=30):
    name = name.rstrip(".").lower()
    if name in fail:
        raise spf.TempError("made to fail")
    for alias in records.get("CNAME " + name, []):
        return [((name, "CNAME"), alias)] + lookup(alias, qtype)
    found = records.get(qtype + " " + name, [])
    if qtype == "TXT":
        found = [[s.encode()] for s in found]
    elif qtype == "MX":
        found = [(10, s) for s in found]
    return [((name, qtype), value) for value in found]


spf.DNSLookup = lookup
for ip, sender, helo in world["queries"]:
    print(spf.check2(i=ip, s=sender, h=helo)[0])
