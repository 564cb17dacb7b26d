//go:build peers

package peers

import "testing"

// Python's own libraries, which many scripts use.
func TestPython(t *testing.T) {
	b := newBench(t)
	script := b.file("session.py", b.fill(`
import imaplib, poplib, smtplib, ssl, time
from email.message import EmailMessage

tls = ssl.create_default_context(cafile="@CA@")

def check(what, ok):
    assert ok, what

# Submission over STARTTLS, with every mechanism that the library has.
m = EmailMessage()
m["From"] = "Alice <alice@example.test>"
m["To"] = "Bob <bob@example.test>"
m["Subject"] = "Grüße aus Python"
m.set_content("Zeile eins\n.\n.. Punkte\n")
m.add_attachment(bytes(range(256)) * 1000, maintype="application", subtype="octet-stream", filename="bytes.bin")
with smtplib.SMTP("127.0.0.1", @587@) as s:
    s.starttls(context=tls)
    s.login("alice@example.test", "waxwing")
    s.send_message(m)
    check("RSET and NOOP", s.rset()[0] == 250 and s.noop()[0] == 250)
    check("VRFY tells users the truth", s.verify("bob")[0] == 250)
    check("HELP", s.docmd("HELP")[0] == 214)
with smtplib.SMTP_SSL("127.0.0.1", @465@, context=tls) as s:
    s.login("alice", "waxwing")
    s.sendmail("alice@example.test", ["bob@example.test", "alice@example.test"], "Subject: two\n\nto two\n")

# IMAP.
i = imaplib.IMAP4_SSL("127.0.0.1", @993@, ssl_context=tls)
i.login("bob", "waxwing")
check("SELECT", i.select()[1] == [b"2"])
typ, data = i.search(None, "SUBJECT", "two")
check("SEARCH", data == [b"2"])
typ, data = i.fetch("1", "(RFC822 FLAGS BODYSTRUCTURE)")
raw = data[0][1]
import email, email.policy
back = email.message_from_bytes(raw, policy=email.policy.default)
check("the attachment", next(back.iter_attachments()).get_content() == bytes(range(256)) * 1000)
check("the subject", back["subject"] == "Grüße aus Python")
check("STORE", i.store("1", "+FLAGS", r"(\Flagged $Important)")[0] == "OK")
check("CREATE", i.create("Work/2026")[0] == "OK")
check("COPY", i.copy("1:2", "Work/2026")[0] == "OK")
check("SELECT the copy", i.select("Work/2026")[1] == [b"2"])
check("the flags went along", b"$Important" in i.fetch("1", "(FLAGS)")[1][0])
check("APPEND", i.append("INBOX", r"(\Seen)", imaplib.Time2Internaldate(time.time()), b"Subject: appended\r\n\r\nx\r\n")[0] == "OK")
i.select("INBOX")
check("the appended one", i.search(None, "SEEN", "SUBJECT", "appended")[1] == [b"3"])
i.store("2", "+FLAGS", r"\Deleted")
check("EXPUNGE", i.expunge()[1] == [b"2"])
check("RENAME", i.rename("Work/2026", "Work/done")[0] == "OK")
check("DELETE", i.delete("Work/done")[0] == "OK")
check("LIST", any(b"Sent" in m for m in i.list()[1]))
check("STATUS", b"MESSAGES 2" in i.status("INBOX", "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN)")[1][0])
i.close()
i.logout()

# POP3, both ways of TLS.
p = poplib.POP3("127.0.0.1", @110@)
check("CAPA", "STLS" in p.capa())
p.stls(context=tls)
p.user("bob")
p.pass_("waxwing")
count, size = p.stat()
check("STAT", count == 2)
check("LIST adds up", sum(int(x.split()[1]) for x in p.list()[1]) == size)
ids = p.uidl()[1]
text = b"\r\n".join(p.retr(2)[1]) + b"\r\n"
check("RETR is as long as LIST says", len(text) == int(p.list(2).split()[2]))
check("TOP", p.top(1, 0)[1][-1] == b"")
p.dele(1)
p.rset()
p.dele(2)
p.quit()
p = poplib.POP3_SSL("127.0.0.1", @995@, context=tls)
p.user("bob@example.test")
p.pass_("waxwing")
check("one is left, with the id that it had", p.uidl()[1] == ids[:1])
p.quit()
print("all done")
`))
	b.contains(b.run("python3", script), "all done")
}
