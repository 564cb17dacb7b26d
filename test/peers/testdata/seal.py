# Seals the message on standard input as python3-dkim does: with a key, for a
# domain and selector, what the Authentication-Results of a server say.
import sys
import dkim

domain, selector, keyfile, server = sys.argv[1:5]
message = sys.stdin.buffer.read()
added = dkim.arc_sign(message, selector.encode(), domain.encode(), open(keyfile, "rb").read(), server.encode())
sys.stdout.buffer.write(b"".join(added) + message)
