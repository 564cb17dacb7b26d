"""Fills an account over IMAP, or tells all that is in one.

    account.py fill PORT USER PASSWORD
    account.py tell PORT USER PASSWORD

Each line that it tells is of one message: mailbox, digest of the text, flags
and arrival. Mailboxes without messages have a line too.
"""
import hashlib
import imaplib
import random
import re
import sys

SYSTEM = {"\\seen", "\\answered", "\\flagged", "\\deleted", "\\draft"}


def connect(port, user, password):
    c = imaplib.IMAP4("127.0.0.1", int(port))
    c.login(user, password)
    return c


def ok(answer):
    status, data = answer
    if status != "OK":
        raise SystemExit("refused: %r" % (data,))
    return data


def fill(c):
    rnd = random.Random(5321)
    sep = re.search(rb'\) "(.)"', ok(c.list('""', '""'))[0]).group(1).decode()
    boxes = ["INBOX", "Archive", sep.join(["Archive", "2023"]), sep.join(["Archive", "2024"]),
             "Empty", "M&APw-nchen", '"with a space"', sep.join(["a", "b", "c", "d"])]
    for box in boxes:
        if box != "INBOX":
            c.create(box)  # some are there
            ok(c.subscribe(box))
    n = 0
    for box, count in zip(boxes, [30, 20, 10, 10, 0, 5, 5, 5]):
        for i in range(count):
            n += 1
            size = rnd.choice([10, 100, 3000, 3000, 20000])
            if n == 7:
                size = 3_000_000
            body = "".join("%030x\r\n" % rnd.getrandbits(120) for _ in range(size // 32 + 1))
            head = "From: ann@example.com\r\nTo: bob@example.test\r\nSubject: message %d\r\nMessage-ID: <%d@example.com>\r\n" % (n, n)
            if n % 9 == 0:
                head += "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
                body += "Grüße\r\n"
            flags = [f for f in ["\\Seen", "\\Answered", "\\Flagged", "\\Draft"] if rnd.random() < 0.4]
            date = '"%02d-Mar-20%02d 08:%02d:%02d +0100"' % (1 + n % 28, 10 + n % 14, n % 60, (7 * n) % 60)
            ok(c.append(box, "(" + " ".join(flags) + ")", date, (head + "\r\n" + body).encode()))


def tell(c):
    boxes = []
    for line in ok(c.list()):
        m = re.match(rb'\((.*?)\) "(.)" (.*)', line if isinstance(line, bytes) else b" ".join(line))
        if b"\\noselect" in m.group(1).lower() or b"\\nonexistent" in m.group(1).lower():
            continue
        boxes.append((m.group(3).decode(), m.group(2).decode()))
    out = []
    for name, sep in boxes:
        plain = name.strip('"').replace(sep, "/")
        count = int(ok(c.select(name, readonly=True))[0])
        out.append("%s\t%d messages" % (plain, count))
        if not count:
            continue
        _, data = c.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")
        for part in data:
            if not isinstance(part, tuple):
                continue
            head = part[0].decode()
            tail = data[data.index(part) + 1].decode() if isinstance(data[data.index(part) + 1], bytes) else ""
            flags = sorted(f for f in re.search(r"FLAGS \((.*?)\)", head + tail).group(1).lower().split() if f in SYSTEM)
            date = imaplib.Internaldate2tuple((head + tail).encode())
            text = re.sub(rb"(?m)^X-TUID: .*\r\n", b"", part[1], count=1)  # mbsync's mark
            out.append("%s\t%s\t%s\t%s" % (plain, hashlib.sha256(text).hexdigest(), " ".join(flags),
                                           date and "%04d-%02d-%02d %02d:%02d:%02d" % date[:6]))
    print("\n".join(sorted(out)))


what, port, user, password = sys.argv[1:]
client = connect(port, user, password)
{"fill": fill, "tell": tell}[what](client)
client.logout()
