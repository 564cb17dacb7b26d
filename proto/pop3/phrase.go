package pop3

import (
	"fmt"
	"strings"
)

// A Phrase is something that a server has to say to a person, in any
// Language. No phrase begins with "[", which marks response codes
// (RFC 2449 §6.4), and none repeats what the client sent.
type Phrase uint8

// The phrases. Some take arguments, given here as they are in English.
const (
	Greeting           Phrase = iota // %s POP3 server ready
	Farewell                         // bye
	FarewellDeleted                  // bye, %d messages deleted
	NameTaken                        // name taken, now the password
	Maildrop                         // %d messages (%d octets)
	Octets                           // %d octets
	TopFollows                       // top of message follows
	MarkedDeleted                    // message %d deleted
	ScanListing                      // %d messages (%d octets)
	UniqueIDs                        // unique-id listing follows
	CapabilityList                   // capability list follows
	MechanismList                    // mechanisms follow
	LanguageList                     // languages follow
	LanguageChosen                   // language changed
	UTF8On                           // UTF-8 enabled
	BeginTLS                         // begin TLS negotiation
	Nothing                          // nothing done
	ControlCharacter                 // control characters are not allowed
	UnknownCommand                   // unknown command
	NoArguments                      // this command takes no arguments
	MissingArgument                  // an argument is missing
	TooManyArguments                 // too many arguments
	WantNumber                       // want a message number
	NotUTF8                          // this is not UTF-8
	LineTooLong                      // line too long
	BareNewline                      // lines end with CR LF
	NotBeforeLogin                   // log in first
	NotAfterLogin                    // you are logged in already
	NoSuchMessage                    // no such message, there are %d
	AlreadyDeleted                   // message %d is deleted already
	NoAPOP                           // APOP is not offered
	NeedTLS                          // plaintext logins need TLS
	NoTLS                            // TLS is not offered
	TLSActive                        // TLS is active already
	TLSAfterUTF8                     // STLS has to come before UTF8
	NeedUser                         // give USER first
	BadCredentials                   // user name or password is wrong
	TooManyLogins                    // too many failed logins
	Aborted                          // authentication aborted
	BadResponse                      // response is malformed
	UnknownMechanism                 // unknown mechanism
	LoginUnavailable                 // cannot check logins just now
	MaildropInUse                    // maildrop is in use
	LoggedInRecently                 // next login in %d seconds
	Trouble                          // server trouble, try again later
	NotDeleted                       // nothing deleted, try again later
	UnknownLanguage                  // language is not known
	TooManyErrors                    // too many errors
	TooManyConnections               // too many connections
	ShuttingDown                     // server is shutting down
	MessageGone                      // message has been deleted by another session
	MessageDamaged                   // message is damaged on the server
	phrases
)

// A Language is one that the server can answer in. RFC 6856 §3
type Language uint8

// The languages.
const (
	English Language = iota
	German
	languages
)

// Languages lists all languages.
func Languages() []Language { return []Language{English, German} }

// Tag gives the language tag. RFC 5646
func (l Language) Tag() string { return [languages]string{"en", "de"}[l] }

// Name gives the language's name in itself.
func (l Language) Name() string { return [languages]string{"English", "Deutsch"}[l] }

// FindLanguage gives the language for a basic language range: the one with
// that tag or, where there is none, a more general one ("de-AT" finds "de").
// "*" is the server's preference. RFC 6856 §3.2, RFC 4647 §3.4
func FindLanguage(languageRange string) (Language, bool) {
	tag := strings.ToLower(languageRange)
	if tag == "*" {
		return English, true
	}
	primary, _, _ := strings.Cut(tag, "-")
	for _, l := range Languages() {
		if primary == l.Tag() {
			return l, true
		}
	}
	return English, false
}

// Text gives a phrase with its arguments.
func (l Language) Text(p Phrase, args ...any) string {
	text := catalogue[l][p]
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

var catalogue = [languages][phrases]string{
	English: {
		Greeting: "%s POP3 server ready", Farewell: "bye", FarewellDeleted: "bye, messages deleted: %d",
		NameTaken: "now the password", Maildrop: "%d messages (%d octets)", Octets: "%d octets",
		TopFollows: "top of message follows", MarkedDeleted: "message %d marked as deleted",
		ScanListing: "%d messages (%d octets)", UniqueIDs: "unique-id listing follows",
		CapabilityList: "capability list follows", MechanismList: "mechanisms follow",
		LanguageList: "languages follow", LanguageChosen: "language changed", UTF8On: "UTF-8 enabled",
		BeginTLS: "begin TLS negotiation", Nothing: "nothing done",
		ControlCharacter: "control characters are not allowed", UnknownCommand: "unknown command",
		NoArguments: "this command takes no arguments", MissingArgument: "an argument is missing",
		TooManyArguments: "too many arguments", WantNumber: "want a number as argument",
		NotUTF8: "this is not UTF-8", LineTooLong: "line too long", BareNewline: "lines end with CR LF",
		NotBeforeLogin: "log in first", NotAfterLogin: "you are logged in already",
		NoSuchMessage: "no such message, there are %d", AlreadyDeleted: "message %d is deleted already",
		NoAPOP: "APOP is not offered, give USER or AUTH", NeedTLS: "plaintext logins need TLS, give STLS first",
		NoTLS: "TLS is not offered", TLSActive: "TLS is active already", TLSAfterUTF8: "STLS has to come before UTF8",
		NeedUser: "give USER first", BadCredentials: "user name or password is wrong",
		TooManyLogins: "too many failed logins, try again later", Aborted: "authentication aborted",
		BadResponse: "response is malformed", UnknownMechanism: "unknown mechanism",
		LoginUnavailable: "cannot check logins just now, try again later",
		MaildropInUse:    "maildrop is in use by another session", LoggedInRecently: "next login in %d seconds",
		Trouble: "server trouble, try again later", NotDeleted: "server trouble, nothing has been deleted",
		UnknownLanguage: "language is not known", TooManyErrors: "too many errors",
		TooManyConnections: "too many connections, try again later",
		ShuttingDown:       "server is shutting down, try again later",
		MessageGone:        "message has been deleted by another session",
		MessageDamaged:     "message is damaged on the server; its administrator can see to it",
	},
	German: {
		Greeting: "%s POP3-Server bereit", Farewell: "auf Wiedersehen", FarewellDeleted: "auf Wiedersehen, gelöschte Nachrichten: %d",
		NameTaken: "nun das Passwort", Maildrop: "%d Nachrichten (%d Oktette)", Octets: "%d Oktette",
		TopFollows: "Anfang der Nachricht folgt", MarkedDeleted: "Nachricht %d zum Löschen vorgemerkt",
		ScanListing: "%d Nachrichten (%d Oktette)", UniqueIDs: "Liste der Kennungen folgt",
		CapabilityList: "Liste der Fähigkeiten folgt", MechanismList: "Verfahren folgen",
		LanguageList: "Sprachen folgen", LanguageChosen: "Sprache gewechselt", UTF8On: "UTF-8 eingeschaltet",
		BeginTLS: "TLS kann beginnen", Nothing: "nichts getan",
		ControlCharacter: "Steuerzeichen sind nicht erlaubt", UnknownCommand: "unbekannter Befehl",
		NoArguments: "dieser Befehl hat keine Argumente", MissingArgument: "ein Argument fehlt",
		TooManyArguments: "zu viele Argumente", WantNumber: "eine Zahl wird als Argument erwartet",
		NotUTF8: "das ist kein UTF-8", LineTooLong: "Zeile zu lang", BareNewline: "Zeilen enden mit CR LF",
		NotBeforeLogin: "bitte zuerst anmelden", NotAfterLogin: "schon angemeldet",
		NoSuchMessage: "keine solche Nachricht, es gibt %d", AlreadyDeleted: "Nachricht %d ist schon gelöscht",
		NoAPOP: "APOP wird nicht angeboten, bitte USER oder AUTH", NeedTLS: "Anmeldung im Klartext nur mit TLS, bitte zuerst STLS",
		NoTLS: "TLS wird nicht angeboten", TLSActive: "TLS ist schon aktiv", TLSAfterUTF8: "STLS muss vor UTF8 kommen",
		NeedUser: "bitte zuerst USER", BadCredentials: "Benutzername oder Passwort ist falsch",
		TooManyLogins: "zu viele fehlgeschlagene Anmeldungen, bitte später", Aborted: "Anmeldung abgebrochen",
		BadResponse: "fehlerhafte Antwort", UnknownMechanism: "unbekanntes Verfahren",
		LoginUnavailable: "Anmeldungen können gerade nicht geprüft werden, bitte später",
		MaildropInUse:    "Postfach wird von einer anderen Sitzung benutzt", LoggedInRecently: "nächste Anmeldung in %d Sekunden",
		Trouble: "Störung, bitte später noch einmal", NotDeleted: "Störung, nichts wurde gelöscht",
		UnknownLanguage: "Sprache ist nicht bekannt", TooManyErrors: "zu viele Fehler",
		TooManyConnections: "zu viele Verbindungen, bitte später",
		ShuttingDown:       "Server wird angehalten, bitte später",
		MessageGone:        "Nachricht wurde von einer anderen Sitzung gelöscht",
		MessageDamaged:     "Nachricht ist auf dem Server beschädigt; dessen Verwalter kann sich darum kümmern",
	},
}
