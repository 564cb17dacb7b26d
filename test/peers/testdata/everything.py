"""A milter that does everything a milter can do, as the message's subject asks."""
import sys
import Milter


class Everything(Milter.Base):
    def __init__(self):
        self.heard = []

    def connect(self, name, family, address):
        self.heard.append("connect %s %s" % (name, address[0] if address else "-"))
        return Milter.CONTINUE

    def hello(self, name):
        self.heard.append("hello " + name)
        return Milter.CONTINUE

    def envfrom(self, sender, *args):
        self.heard = self.heard[:2] + ["mail %s %s" % (sender, " ".join(args))]
        self.subject, self.size, self.sender = "", 0, sender
        self.id = self.getsymval("i")
        self.user = self.getsymval("{auth_authen}")
        if sender == "<refused@far.test>":
            return Milter.REJECT
        return Milter.CONTINUE

    def envrcpt(self, rcpt, *args):
        self.heard.append("rcpt %s %s %s" % (rcpt, self.getsymval("{rcpt_mailer}"), self.getsymval("{rcpt_addr}")))
        if rcpt.startswith("<bob+no"):
            self.setreply("550", "5.1.1", "not this one")
            return Milter.REJECT
        if rcpt.startswith("<bob+later"):
            return Milter.TEMPFAIL
        return Milter.CONTINUE

    def data(self):
        self.heard.append("data")
        return Milter.CONTINUE

    def unknown(self, line):
        self.setreply("500", "5.5.2", "the milter does not know that either")
        return Milter.REJECT

    def header(self, name, value):
        if name.lower() == "subject":
            self.subject = value.strip()
            self.raw = value
        return Milter.CONTINUE

    def eoh(self):
        if self.subject == "early":
            self.setreply("554", "5.7.1", "early", "in two lines")
            return Milter.REJECT
        return Milter.CONTINUE

    def body(self, chunk):
        self.size += len(chunk)
        if self.subject == "skip":
            return Milter.SKIP
        return Milter.CONTINUE

    def eom(self):
        ask = self.subject
        if ask == "reject":
            return Milter.REJECT
        if ask == "tempfail":
            return Milter.TEMPFAIL
        if ask == "discard":
            return Milter.DISCARD
        if ask == "quarantine":
            self.quarantine("for a test")
        if ask == "spam":
            self.addheader("X-Spam-Flag", "YES")
        if ask == "slow":
            self.progress()
            self.progress()
        if ask == "change":
            self.addheader("X-Added", "at the end")
            self.addheader("X-Top", "above all", 0)
            self.addheader("X-Second", "below Received", 2)
            self.chgheader("X-Old", 2, "second is new")
            self.chgheader("X-Gone", 1, "")
            self.chgheader("Subject", 1, "changed\n in two lines")
            self.chgfrom("<new@far.test>")
            self.addrcpt("<alice@example.test>")
            self.delrcpt("<bob+gone@example.test>")
            self.replacebody(b"A new body.\r\n" * 20000)
        if ask == "parameters":
            self.addrcpt("<alice@example.test>", "NOTIFY=NEVER")
        self.addheader("X-Heard", " | ".join(self.heard) + " | size %d" % self.size)
        self.addheader("X-Macros", "%s %s %s" % (self.id == self.getsymval("i"), self.getsymval("j"), self.user))
        return Milter.CONTINUE

    def negotiate(self, opts):
        answer = Milter.Base.negotiate(self, opts)
        return answer


Milter.factory = Everything
Milter.set_flags(Milter.ADDHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.DELRCPT | Milter.CHGHDRS
                 | Milter.QUARANTINE | Milter.CHGFROM | Milter.ADDRCPT_PAR)
Milter.runmilter("everything", sys.argv[1], 60)
