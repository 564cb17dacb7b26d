// What a person does in Thunderbird, in terms of its own parts. Runs with the
// privileges of the program; the last argument takes the answer.
const [what, args, answer] = arguments;
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");

// When something of the kind nsIUrlListener ends.
const ended = start => new Promise((resolve, reject) => start({
  OnStartRunningUrl() {},
  OnStopRunningUrl(url, status) { Components.isSuccessCode(status) ? resolve() : reject(new Error("url ended with 0x" + (status >>> 0).toString(16))); },
  QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
}));

// Waits until check holds; whoever drives us has a limit of time.
const until = async (check, nudge = () => {}) => {
  for (let i = 0; ; i++) {
    if (i % 20 == 0) nudge();
    const v = check();
    if (v) return v;
    await pause();
  }
};
const pause = () => new Promise(done => {
  const timer = Cc["@mozilla.org/timer;1"].createInstance(Ci.nsITimer);
  timer.initWithCallback(() => done(timer), 50, timer.TYPE_ONE_SHOT);
});

const server = () => MailServices.accounts.accounts.find(a => a.incomingServer?.type == "imap").incomingServer;
const folder = name => {
  const find = f => f.subFolders.find(s => s.name.toLowerCase() == name.toLowerCase()) || f.subFolders.map(find).find(Boolean);
  return find(server().rootFolder);
};
const messages = f => [...f.messages];
const bySubject = (f, subject) => messages(f).find(h => h.mime2DecodedSubject == subject);

const actions = {
  // Sets up an account as the dialog does.
  async account({ host, port, user, password, ca }) {
    Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(ca, "CTu,Cu,Cu");
    const s = MailServices.accounts.createIncomingServer(user, host, "imap");
    s.port = port;
    s.socketType = Ci.nsMsgSocketType.SSL;
    s.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
    const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
    login.init("imap://" + host, null, "imap://" + host, user, password, "", "");
    await Services.logins.addLoginAsync(login);
    const identity = MailServices.accounts.createIdentity();
    identity.email = user;
    const account = MailServices.accounts.createAccount();
    account.incomingServer = s;
    account.addIdentity(identity);
    MailServices.accounts.defaultAccount = account;
    await ended(listener => MailServices.imap.discoverAllFolders(s.rootFolder, listener, null));
    await until(() => folder("INBOX") && folder("Archive"));
    return server().rootFolder.descendants.map(f => f.name).sort();
  },
  // Lists a folder once it has so many messages.
  async list({ box, count }) {
    const f = folder(box);
    await until(() => messages(f).length == count, () => f.updateFolder(null));
    return messages(f).map(h => h.mime2DecodedSubject + (h.isRead ? " read" : "") + (h.isFlagged ? " flagged" : "")).sort();
  },
  // Reads a message as the reader does, which marks it.
  async read({ box, subject }) {
    const f = folder(box), h = bySubject(f, subject), uri = f.getUriForMsg(h);
    const text = await new Promise((resolve, reject) => {
      let all = "";
      MailServices.messageServiceFromURI(uri).streamMessage(uri, {
        onStartRequest() {},
        onDataAvailable(_, stream, __, n) {
          const s = Cc["@mozilla.org/scriptableinputstream;1"].createInstance(Ci.nsIScriptableInputStream);
          s.init(stream);
          all += s.read(n);
        },
        onStopRequest(_, status) { Components.isSuccessCode(status) ? resolve(all) : reject(new Error("reading ended with " + status)); },
        QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
      }, null, null, false, "", false);
    });
    f.markMessagesRead([h], true);
    return text;
  },
  flag({ box, subject }) {
    const f = folder(box);
    f.markMessagesFlagged([bySubject(f, subject)], true);
  },
  // Searches on the server, as the dialog does with "Run search on server".
  async search({ box, word }) {
    const f = folder(box), session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
    session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, f);
    const term = session.createTerm(), value = term.value;
    value.attrib = Ci.nsMsgSearchAttrib.Body;
    value.str = word;
    term.value = value;
    term.attrib = Ci.nsMsgSearchAttrib.Body;
    term.op = Ci.nsMsgSearchOp.Contains;
    session.appendTerm(term);
    return await new Promise(resolve => {
      const hits = [];
      session.registerListener({
        onSearchHit(h) { hits.push(h.mime2DecodedSubject); },
        onSearchDone() { resolve(hits.sort()); },
        onNewSearch() {},
        QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]),
      });
      session.search(null);
    });
  },
  async create({ name }) {
    server().rootFolder.createSubfolder(name, null);
    await until(() => folder(name));
  },
  async move({ from, subject, to, copy }) {
    const source = folder(from), target = folder(to);
    await new Promise((resolve, reject) => MailServices.copy.copyMessages(source, [bySubject(source, subject)], target, !copy, {
      onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
      onStopCopy(status) { Components.isSuccessCode(status) ? resolve() : reject(new Error("copying ended with " + status)); },
      QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
    }, null, false));
  },
  async remove({ box, subject }) {
    const f = folder(box);
    await new Promise((resolve, reject) => f.deleteMessages([bySubject(f, subject)], null, false, false, {
      onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
      onStopCopy(status) { Components.isSuccessCode(status) ? resolve() : reject(new Error("deleting ended with " + status)); },
      QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
    }, false));
  },
  // Waits for a message that nobody asks for: the server pushes it.
  async wait({ box, subject }) {
    await until(() => bySubject(folder(box), subject));
  },
};

Promise.resolve().then(() => actions[what](args)).then(v => answer({ value: v ?? null }), e => answer({ error: String(e) + "\n" + (e.stack || "") }));
