# Verifies the signatures and the ARC chain of the message on standard input, as
# python3-dkim does. The argument is a file with TXT records by name, as JSON.
import json
import sys
import dkim

records = json.load(open(sys.argv[1]))
message = sys.stdin.buffer.read()


def txt(name, timeout=5):
    if isinstance(name, bytes):
        name = name.decode()
    return records.get(name.rstrip("."), "").encode() or None


d = dkim.DKIM(message, minkey=1024)
n = sum(1 for name, _ in d.headers if name.lower() == b"dkim-signature")
for i in range(n):
    ok = d.verify(idx=i, dnsfunc=txt)
    fields = d.signature_fields
    print("dkim", fields[b"a"].decode(), fields[b"d"].decode(), "pass" if ok else "fail")
cv, results, reason = dkim.ARC(message, minkey=1024).verify(dnsfunc=txt)
print("arc", cv.decode() if cv else "none", reason)
