//go:build peers

package peers

import "testing"

// A draft is sent without being fetched: Python's imaplib lets a URL be
// authorized, and smtplib sends what it names. RFC 4467, RFC 4468
func TestBURL(t *testing.T) {
	b := newBench(t)
	b.run("python3", b.file("burl.py", b.fill(`
import imaplib, smtplib, ssl
tls = ssl.create_default_context(cafile="@CA@")
box = imaplib.IMAP4_SSL("127.0.0.1", @993@, ssl_context=tls)
box.login("alice@example.test", "waxwing")
assert b"URLAUTH" in box.capability()[1][0]
draft = b"From: Alice <alice@example.test>\r\nSubject: by URL\r\nMIME-Version: 1.0\r\n\r\nNobody has fetched this.\r\n.\r\n"
assert box.append("Drafts", None, None, draft)[0] == "OK"
imaplib.Commands["GENURLAUTH"] = ("AUTH", "SELECTED")

def authorize(access):
    ok, said = box._simple_command("GENURLAUTH", '"imap://alice%40example.test@mail.example.test/Drafts/;uid=1;urlauth=' + access + '"', "INTERNAL")
    assert ok == "OK", said
    return box._untagged_response(ok, said, "GENURLAUTH")[1][0].decode().strip('"')

with smtplib.SMTP_SSL("127.0.0.1", @465@, context=tls) as s:
    s.login("alice@example.test", "waxwing")
    s.ehlo()
    assert s.esmtp_features["burl"] == "imap", s.esmtp_features
    def submit(url, before=b""):
        assert s.mail("alice@example.test")[0] == 250
        assert s.rcpt("bob@example.test")[0] == 250
        if before:
            s.send(b"BDAT %d\r\n" % len(before) + before)
            assert s.getreply()[0] == 250
        return s.docmd("BURL", url + " LAST")
    url = authorize("submit+alice%40example.test")
    assert submit(url)[0] == 250
    # A header of its own, and the draft behind it.
    assert submit(url, b"X-Sent-By: phone\r\n")[0] == 250
    # Another's, a forged one, and one of another server.
    for bad, want in (authorize("submit+bob%40example.test"), b"5.7.0"), (url[:-4] + "0000", b"5.7.0"), (url.replace("mail.example", "elsewhere.example"), b"5.7.8"):
        code, text = submit(bad)
        assert code == 554 and text.startswith(want), (bad, code, text)
`)))
	b.contains(b.imap("INBOX", "STATUS INBOX (MESSAGES)"), "MESSAGES 2")
	b.contains(b.imap("INBOX", "SEARCH HEADER X-Sent-By phone BODY fetched"), "* SEARCH 2")
}
