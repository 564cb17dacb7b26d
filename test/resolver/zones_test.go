//go:build peers

package resolver

import (
	"slices"
	"strings"
	"time"

	"waxwing/test/system"
)

const (
	p256  = "algorithm: ecdsap256sha256"
	nsec3 = "\nnsec3: on\nnsec3-iterations: 0\nnsec3-salt-length: 0"
)

// content is what every zone has.
const content = `
www A 192.0.2.1
www AAAA 2001:db8::1
@ MX 10 mx
mx A 192.0.2.2
_25._tcp.mx TLSA 3 1 1 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
@ TXT "v=spf1 mx -all"
*.wild TXT "made by a wildcard"
*.wild A 192.0.2.3
real.wild A 192.0.2.4
below.ent A 192.0.2.5
alias CNAME www
chain CNAME alias
dangling CNAME nowhere
*.walias CNAME www
away CNAME www.plain.test.
home CNAME www.nsec.test.
broken CNAME www.badsig.test.
old DNAME new
www.new A 192.0.2.6
moved DNAME nsec.test.
cut NS ns.cut
ns.cut A 127.0.1.9
`

// dropped leaves out the lines of a signed zone that match.
func dropped(match func(fields []string) bool) func([]string) []string {
	return func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool {
			f := strings.Fields(l)
			return len(f) > 2 && match(f)
		})
	}
}

// signatureOf tells whether a line is the signature over a type at a name.
func signatureOf(name, rrtype string) func([]string) bool {
	return func(f []string) bool {
		return len(f) > 3 && f[2] == "RRSIG" && (rrtype == "" || f[3] == rrtype) && (name == "" || strings.HasPrefix(f[0], name))
	}
}

// forged changes the address in the A record of a name, which stays signed.
func forged(lines []string) []string {
	for i, l := range lines {
		if f := strings.Fields(l); len(f) == 4 && strings.HasPrefix(f[0], "www.") && f[2] == "A" {
			lines[i] = f[0] + " " + f[1] + " A 203.0.113.66"
		}
	}
	return lines
}

// zones are a root, test., and below it one zone for each way of signing and
// each thing that can be wrong with it.
func zones() []system.SignedZone {
	zone := func(name, policy string) system.SignedZone {
		return system.SignedZone{Name: name + ".test.", Records: content, Policy: policy}
	}
	with := func(z system.SignedZone, change func(*system.SignedZone)) system.SignedZone {
		change(&z)
		return z
	}
	other := func(ds []string) []string { // of a key that the zone does not have
		for i := range ds {
			f := strings.Fields(ds[i])
			f[len(f)-1] = strings.Repeat("ab", len(f[len(f)-1])/2)
			ds[i] = strings.Join(f, " ")
		}
		return ds
	}
	unknown := func(ds []string) []string { // of an algorithm that nobody knows
		for i := range ds {
			f := strings.Fields(ds[i])
			f[4] = "200"
			ds[i] = strings.Join(f, " ")
		}
		return ds
	}
	none := func([]string) []string { return nil }
	day := 24 * time.Hour
	now := time.Now()
	return []system.SignedZone{
		{Name: ".", Policy: p256},
		{Name: "test.", Policy: p256 + nsec3 + "\nnsec3-opt-out: on"},
		zone("nsec", p256),
		zone("nsec3", p256+nsec3),
		zone("salted", p256+"\nnsec3: on\nnsec3-iterations: 10\nnsec3-salt-length: 8"),
		zone("iterated", p256+"\nnsec3: on\nnsec3-iterations: 200\nnsec3-salt-length: 8"),
		zone("optout", p256+nsec3+"\nnsec3-opt-out: on"),
		zone("rsa256", "algorithm: rsasha256"),
		zone("rsa512", "algorithm: rsasha512"+nsec3),
		zone("p384", "algorithm: ecdsap384sha384"),
		zone("ed25519", "algorithm: ed25519"+nsec3),
		zone("ed448", "algorithm: ed448"),
		zone("sha1", "algorithm: rsasha1"),
		zone("single", p256+"\nsingle-type-signing: on"),
		zone("plain", ""),
		with(zone("online", p256), func(z *system.SignedZone) { z.Online, z.Server = true, 5 }),
		with(zone("rolled", p256+"\nzsk-lifetime: 2d\npropagation-delay: 1h"), func(z *system.SignedZone) {
			z.SignedAt, z.Rolled = now.Add(-6*day), 6*time.Hour
		}),
		with(zone("island", p256), func(z *system.SignedZone) { z.DS = none }),
		with(zone("expired", p256), func(z *system.SignedZone) { z.SignedAt = now.Add(-60 * day) }),
		with(zone("future", p256), func(z *system.SignedZone) { z.SignedAt = now.Add(60 * day) }),
		with(zone("wrongds", p256), func(z *system.SignedZone) { z.DS = other }),
		with(zone("newalgorithm", p256), func(z *system.SignedZone) { z.DS = unknown }),
		with(zone("badsig", p256), func(z *system.SignedZone) { z.Mangle = forged }),
		with(zone("badsig3", p256+nsec3), func(z *system.SignedZone) { z.Mangle = forged }),
		with(zone("nosig", p256), func(z *system.SignedZone) { z.Mangle = dropped(signatureOf("www.nosig.test.", "")) }),
		with(zone("stripped", p256), func(z *system.SignedZone) { z.Mangle = dropped(signatureOf("", "")) }),
		with(zone("nodnskeysig", p256), func(z *system.SignedZone) { z.Mangle = dropped(signatureOf("", "DNSKEY")) }),
		with(zone("nodenial", p256), func(z *system.SignedZone) {
			z.Mangle = dropped(func(f []string) bool { return f[2] == "NSEC" || signatureOf("", "NSEC")(f) })
		}),
		with(zone("nodenial3", p256+nsec3), func(z *system.SignedZone) {
			z.Mangle = dropped(func(f []string) bool {
				return f[2] == "NSEC3" || f[2] == "NSEC3PARAM" || signatureOf("", "NSEC3")(f) || signatureOf("", "NSEC3PARAM")(f)
			})
		}),
		with(zone("nokeys", p256), func(z *system.SignedZone) {
			z.Mangle = dropped(func(f []string) bool { return f[2] == "DNSKEY" })
		}),
		// Zones inside zones: on the same server as their parent, and unsigned
		// or signed below a signed one.
		{Name: "signed.nsec.test.", Records: content, Policy: p256 + nsec3, Server: 3},
		{Name: "plain.nsec.test.", Records: content, Server: 3},
		{Name: "plain.nsec3.test.", Records: content, Server: 3},
		{Name: "plain.optout.test.", Records: content, Server: 4},
		{Name: "signed.optout.test.", Records: content, Policy: p256, Server: 4},
		{Name: "signed.plain.test.", Records: content, Policy: p256, Server: 4},
	}
}
