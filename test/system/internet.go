package system

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

// A SignedZone is a zone of a little internet that knot serves.
type SignedZone struct {
	Name    string // absolute, such as "example.test."
	Records string // zone-file lines; SOA, NS, glue and delegations are added
	// Policy has lines of a knot policy, such as "algorithm: ed25519". Empty for
	// a zone without signatures.
	Policy string
	// SignedAt is when it was signed; zero is now.
	SignedAt time.Time
	// Rolled has the keys rolled over step by step from SignedAt until now.
	Rolled time.Duration
	// Online has knot sign answers as they are asked for, by module onlinesign.
	Online bool
	// Mangle changes the signed zone, line by line, before it is served.
	Mangle func(lines []string) []string
	// DS changes the DS records that the parent is given.
	DS func(ds []string) []string
	// Server is the last octet of the server's address, 127.0.1.N; 0 is one
	// more than the number of labels, so that the root is at 127.0.1.1.
	Server int
}

// An Internet is a root and what lies below it, on addresses of 127.0.1.0/24,
// all with one port.
type Internet struct {
	Hints  []netip.AddrPort
	Port   uint16
	Anchor string // DS records of the root
	tb     testing.TB
	dir    string
	zones  []*SignedZone
}

// StartInternet signs zones with Debian's knot (kzonesign) and serves them
// until the test ends. The zones must have a root, and each its parent.
func StartInternet(tb testing.TB, zones []SignedZone) *Internet {
	tb.Helper()
	dir, err := os.MkdirTemp("", "waxwing-internet-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	in := &Internet{Port: uint16(FreePort(tb)), tb: tb, dir: dir}
	for _, z := range zones {
		if z.Server == 0 {
			z.Server = wire.CountLabel(z.Name) + 1
		}
		in.zones = append(in.zones, &z)
	}
	// Children first, since their parents have their DS records.
	slices.SortStableFunc(in.zones, func(a, b *SignedZone) int { return wire.CountLabel(b.Name) - wire.CountLabel(a.Name) })
	delegations := make(map[string][]string) // by parent
	for _, z := range in.zones {
		lines := append(in.head(z), delegations[z.Name]...)
		lines = append(lines, strings.Split(z.Records, "\n")...)
		ds := in.make(z, lines)
		if z.DS != nil {
			ds = z.DS(ds)
		}
		if z.Name == "." {
			in.Anchor = strings.Join(ds, "\n")
			in.Hints = []netip.AddrPort{netip.AddrPortFrom(address(z), in.Port)}
			continue
		}
		parent := in.parent(z)
		delegations[parent] = append(delegations[parent], fmt.Sprintf("%s NS ns.%[1]s", z.Name), fmt.Sprintf("ns.%s A %s", z.Name, address(z)))
		delegations[parent] = append(delegations[parent], ds...)
	}
	in.serve()
	return in
}

// At gives the address of the server of a zone.
func (in *Internet) At(zone string) netip.AddrPort {
	for _, z := range in.zones {
		if z.Name == zone {
			return netip.AddrPortFrom(address(z), in.Port)
		}
	}
	in.tb.Fatalf("there is no zone %s", zone)
	return netip.AddrPort{}
}

// Zones are the names of all zones, the deepest first.
func (in *Internet) Zones() []string {
	var names []string
	for _, z := range in.zones {
		names = append(names, z.Name)
	}
	return names
}

func address(z *SignedZone) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 1, byte(z.Server)}) }

func (in *Internet) parent(z *SignedZone) string {
	best := ""
	for _, p := range in.zones {
		if p != z && wire.IsSubDomain(p.Name, z.Name) && len(p.Name) > len(best) {
			best = p.Name
		}
	}
	if best == "" {
		in.tb.Fatalf("%s has no parent", z.Name)
	}
	return best
}

func (in *Internet) head(z *SignedZone) []string {
	ns := "ns." + z.Name
	if z.Name == "." {
		ns = "ns.root-servers.test."
		// Its address is glue here, and lies below in truth.
		return []string{"$ORIGIN .", "$TTL 300", "@ SOA " + ns + " hostmaster. 1 3600 900 604800 60", "@ NS " + ns,
			ns + " A " + address(z).String()}
	}
	return []string{"$ORIGIN " + z.Name, "$TTL 300", "@ SOA " + ns + " hostmaster 1 3600 900 604800 60", "@ NS " + ns,
		ns + " A " + address(z).String()}
}

// file is where a zone's things are, by what they are.
func (in *Internet) file(z *SignedZone, what string) string {
	name := strings.TrimSuffix(z.Name, ".")
	if name == "" {
		name = "root"
	}
	return filepath.Join(in.dir, name+"."+what)
}

// make writes the zone as it is to be served, and gives its DS records.
func (in *Internet) make(z *SignedZone, lines []string) []string {
	served := in.file(z, "zone")
	in.write(served, strings.Join(lines, "\n")+"\n")
	if z.Policy == "" {
		return nil
	}
	conf := in.file(z, "sign.conf")
	in.write(conf, in.conf(z, "127.0.1.250", in.file(z, "kasp"))+in.zoneConf(z, true))
	if z.Online {
		in.run("keymgr", "-c", conf, z.Name, "generate", "algorithm=ecdsap256sha256", "ksk=yes", "zsk=yes")
		return in.ds(conf, z)
	}
	out := in.file(z, "out")
	if err := os.MkdirAll(out, 0o755); err != nil {
		in.tb.Fatal(err)
	}
	at := z.SignedAt
	if at.IsZero() {
		at = time.Now()
	}
	in.run("kzonesign", "-c", conf, "-o", out, "-t", strconv.FormatInt(at.Unix(), 10), z.Name)
	signed := filepath.Join(out, filepath.Base(served))
	for at = at.Add(z.Rolled); z.Rolled > 0 && at.Before(time.Now()); at = at.Add(z.Rolled) {
		in.run("kzonesign", "-c", conf, "-r", "-o", out, "-t", strconv.FormatInt(at.Unix(), 10), z.Name)
	}
	text, err := os.ReadFile(signed)
	if err != nil {
		in.tb.Fatal(err)
	}
	if z.Mangle != nil {
		text = []byte(strings.Join(z.Mangle(strings.Split(string(text), "\n")), "\n") + "\n")
	}
	in.write(served, string(text))
	return in.ds(conf, z)
}

func (in *Internet) ds(conf string, z *SignedZone) []string {
	var ds []string
	for line := range strings.Lines(in.run("keymgr", "-c", conf, z.Name, "ds")) {
		line = strings.TrimSpace(line)
		if !strings.Contains(line, " DS ") || strings.Contains(line, " 4 ") && len(ds) > 0 {
			continue
		}
		ds = append(ds, strings.Replace(line, " DS ", " IN DS ", 1))
	}
	return ds
}

func (in *Internet) conf(z *SignedZone, listen, kasp string) string {
	return fmt.Sprintf(`server:
    rundir: %[1]s/run.%[2]s
    listen: %[2]s@%[3]d
    user: root:root
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: %[1]s
    kasp-db: %[4]s
    journal-db: %[4]s.journal
    timer-db: %[4]s.timer
log:
  - target: stderr
    any: error
policy:
  - id: policy
    %[5]s
mod-onlinesign:
  - id: policy
`, in.dir, listen, in.Port, kasp, strings.ReplaceAll(strings.TrimSpace(z.Policy+"\nrrsig-lifetime: 14d"), "\n", "\n    "))
}

func (in *Internet) zoneConf(z *SignedZone, signing bool) string {
	s := fmt.Sprintf("zone:\n  - domain: %s\n    file: %s\n", z.Name, in.file(z, "zone"))
	if signing && !z.Online {
		s += "    dnssec-signing: on\n    dnssec-policy: policy\n"
	}
	return s
}

// serve starts one knot for each address.
func (in *Internet) serve() {
	byServer := make(map[int][]*SignedZone)
	for _, z := range in.zones {
		byServer[z.Server] = append(byServer[z.Server], z)
	}
	for n, zones := range byServer {
		conf := in.conf(&SignedZone{Policy: "algorithm: ecdsap256sha256"}, "127.0.1."+strconv.Itoa(n), filepath.Join(in.dir, fmt.Sprintf("kasp.%d", n)))
		conf += "zone:\n"
		if err := os.Mkdir(filepath.Join(in.dir, "run.127.0.1."+strconv.Itoa(n)), 0o755); err != nil {
			in.tb.Fatal(err)
		}
		for _, z := range zones {
			conf += fmt.Sprintf("  - domain: %s\n    file: %s\n", z.Name, in.file(z, "zone"))
			if z.Online {
				conf = strings.Replace(conf, filepath.Join(in.dir, fmt.Sprintf("kasp.%d\n", n)), in.file(z, "kasp")+"\n", 1)
				conf += "    module: mod-onlinesign\n"
			}
		}
		path := filepath.Join(in.dir, fmt.Sprintf("knot.%d.conf", n))
		in.write(path, conf)
		log := new(logBuffer)
		cmd := exec.Command("knotd", "-c", path)
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			in.tb.Fatal(err)
		}
		in.tb.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if in.tb.Failed() {
				in.tb.Logf("knot %d said:\n%s", n, log)
			}
		})
		WaitListening(in.tb, net.JoinHostPort("127.0.1."+strconv.Itoa(n), strconv.Itoa(int(in.Port))))
	}
}

func (in *Internet) write(path, text string) {
	in.tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		in.tb.Fatal(err)
	}
}

func (in *Internet) run(name string, args ...string) string {
	in.tb.Helper()
	cmd := exec.Command(name, args...)
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		in.tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, errors.String())
	}
	return string(out)
}
