# Signs a message on standard input as python3-dkim does, for the domain and
# selector that are named.
import sys
import dkim

how, domain, selector, keyfile, form = sys.argv[1:6]
message = sys.stdin.buffer.read()
header, body = form.split("/")
sys.stdout.buffer.write(dkim.sign(message, selector.encode(), domain.encode(), open(keyfile, "rb").read(),
                                  canonicalize=(header.encode(), body.encode()), signature_algorithm=how.encode()) + message)
