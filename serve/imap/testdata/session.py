# A session with Python's imaplib, which knows nothing of us. Usage: host port
import imaplib, re, sys, time

def ok(answer):
    status, data = answer
    assert status == 'OK', answer
    return data

m = imaplib.IMAP4(sys.argv[1], int(sys.argv[2]))
assert 'IMAP4REV1' in m.capabilities, m.capabilities
ok(m.login('alice', 'waxwing'))
assert ok(m.namespace())
assert len(ok(m.list())) == 6
ok(m.create('Lists/imap'))
ok(m.subscribe('Lists/imap'))
assert any(b'Lists/imap' in l for l in ok(m.lsub()))
assert ok(m.select('Lists/imap')) == [b'0']
for i in range(20):
    text = b'From: a@example.com\r\nSubject: n%d\r\n\r\nbody %d\r\n' % (i, i)
    ok(m.append('Lists/imap', r'(\Seen)' if i % 2 else None, imaplib.Time2Internaldate(time.time()), text))
assert ok(m.noop())
assert ok(m.search(None, 'UNSEEN', 'SUBJECT', '"n1"'))[0].split() == [b'11', b'13', b'15', b'17', b'19'][:0] + [b'%d' % (i + 1) for i in range(20) if i % 2 == 0 and 'n1' in 'n%d' % i]
data = ok(m.fetch('1:3', '(UID FLAGS BODY.PEEK[])'))
assert data[0][1].endswith(b'body 0\r\n'), data
assert re.search(rb'UID 1 FLAGS \(\\Recent\)', data[0][0]), data
ok(m.store('1:5', '+FLAGS', r'(\Deleted $Done)'))
ok(m.copy('6:7', 'Trash'))
assert ok(m.expunge()) == [b'5', b'4', b'3', b'2', b'1']
assert ok(m.uid('SEARCH', None, 'ALL'))[0].split()[0] == b'6'
assert b'MESSAGES 2' in ok(m.status('Trash', '(MESSAGES UIDNEXT)'))[0]
ok(m.close())
ok(m.rename('Lists/imap', 'Lists/old'))
ok(m.delete('Lists/old'))
ok(m.enable('UTF8=ACCEPT'))
ok(m.append('INBOX', None, None, 'Subject: grün\r\n\r\nx\r\n'.encode()))
ok(m.select())
assert 'grün'.encode() in ok(m.fetch('1', '(BODY[HEADER])'))[0][1]
m.logout()
print('fine')
