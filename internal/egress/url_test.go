package egress

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// insideAddresses has one of each kind, and the first and the last of what is often cut off wrongly.
var insideAddresses = []string{
	"0.0.0.0", "0.0.0.1", "0.255.255.255", // this network
	"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255", // private
	"100.64.0.0", "100.100.100.200", "100.127.255.255", // carriers, and the metadata of Alibaba
	"127.0.0.1", "127.0.0.2", "127.255.255.255", // loopback
	"169.254.0.1", "169.254.169.254", "169.254.170.2", // link-local, and the metadata of most clouds
	"168.63.129.16",            // Azure's host
	"192.0.0.1", "192.0.0.192", // protocol assignments, and the metadata of Oracle
	"192.0.2.1", "198.51.100.1", "203.0.113.1", // documentation
	"192.88.99.1",                  // 6to4 relays
	"198.18.0.0", "198.19.255.255", // benchmarks
	"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", // multicast, reserved, broadcast
	"::", "::1", // unspecified, loopback
	"::127.0.0.1", "::10.0.0.1", // compatible
	"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:8.8.8.8", // mapped
	"::ffff:0:127.0.0.1",                    // translated
	"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", // NAT64
	"64:ff9b:1::1",               // NAT64 of a site
	"100::1",                     // discard
	"2001::1", "2001:0:7f00:1::", // Teredo
	"2001:2::1", "2001:10::1", "2001:20::1", // benchmarks, ORCHID
	"2001:db8::1", "3fff::1", // documentation
	"2002:7f00:1::", "2002:a9fe:a9fe::1", // 6to4
	"2620:4f:8000::1", // AS112
	"4000::1", "5f00::1",
	"fc00::1", "fd00::1", "fd00:ec2::254", "fdff:ffff::1", // unique-local, and the metadata of AWS
	"fe80::1", "febf::1", "fec0::1", // link-local, site-local
	"ff02::1", "ff0e::1", // multicast
}

var outsideAddresses = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.17",
	"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
	"2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1", "2003::1",
}

func bracketed(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

func TestCheckAddresses(t *testing.T) {
	c := mustNew(t, Config{})
	for _, a := range insideAddresses {
		for _, scheme := range []string{"http://", "https://"} {
			if err := c.Check(scheme + bracketed(a) + "/"); err == nil {
				t.Errorf("%s is taken", a)
			}
		}
	}
	for _, a := range outsideAddresses {
		if err := c.Check("https://" + bracketed(a) + "/"); err != nil {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestCheck(t *testing.T) {
	c := mustNew(t, Config{Allow: []string{"printer", "hooks.internal:8080", "10.1.2.3", "[fd00::1]:9000", "Big.Internal"}})
	label := strings.Repeat("a", 63)
	for _, k := range []struct {
		url  string
		want string // in the error; empty is none
	}{
		{"https://hooks.example.org/datestone", ""},
		{"http://hooks.example.org", ""},
		{"https://hooks.example.org:443/a?b=c&d=%20", ""},
		{"http://hooks.example.org:443/", ""},
		{"https://hooks.example.org:80/", ""},
		{"HTTPS://HOOKS.EXAMPLE.ORG/", ""},
		{"https://hooks_1.example.org/", ""},
		{"https://xn--bcher-kva.example.org/", ""},
		{"https://127.0.0.1.example.org/", ""},
		{"https://1password.example.org/", ""},
		{"https://" + label + "." + label + ".org/", ""},
		{"https://example.org/" + strings.Repeat("a", MaxURL-20), ""},
		{"https://example.org/" + strings.Repeat("a", MaxURL-19), "2049 bytes: write one of at most 2048"},

		{"", "is empty: write an address such as https://"},
		{"hooks.example.org", "must begin with https:// or http://"},
		{"//hooks.example.org/", "must begin with"},
		{"ftp://hooks.example.org/", "must begin with"},
		{"file:///etc/passwd", "must begin with"},
		{"gopher://hooks.example.org:80/", "must begin with"},
		{"javascript:alert(1)", "must begin with"},
		{"https:hooks.example.org", "has no host"},
		{"https:///hooks", "has no host"},
		{"https://:443/", "has no host"},
		{"https://?a", "has no host"},
		{"https://hooks.example.org/#part", "a # in it"},
		{"https://hooks.example.org/#", "a # in it"},

		{"https://hooks.example.org:8080/", "port is 8080: it can be one of 80, 443"},
		{"https://hooks.example.org:22/", "port is 22"},
		{"https://hooks.example.org:0/", "port is 0"},
		{"https://hooks.example.org:0443/", "port is 0443"},
		{"https://hooks.example.org:65979/", "port is 65979"}, // 443 in 16 bits
		{"https://hooks.example.org:-443/", "no URL"},
		{"https://hooks.example.org:443:80/", "no URL"},
		{"https://hooks.example.org:https/", "no URL"},

		{"https://user@hooks.example.org/", "an @ before its host"},
		{"https://user:password@hooks.example.org/", "an @ before its host"},
		{"https://hooks.example.org@127.0.0.1/", "an @ before its host"},
		{"https://@127.0.0.1/", "an @ before its host"},
		{"https://127.0.0.1%40hooks.example.org/", "no URL"},
		{`https://127.0.0.1\@hooks.example.org/`, "characters"},
		{`https:\\127.0.0.1\`, "characters"},
		{`https://hooks.example.org\.127.0.0.1/`, "characters"},
		{"https://127.0.0.1\t/", "characters"},
		{"https://hooks.example.org/\r\nHost: a", "characters"},
		{" https://hooks.example.org/", "characters"},
		{"https://hooks.example.org/\x00", "characters"},
		{"https://bücher.example.org/", "xn-- form"},
		{"https://①②⑦.⓪.⓪.①/", "xn-- form"},
		{"https://127。0。0。1/", "xn-- form"},
		{"https://%E2%91%A0%E2%91%A1%E2%91%A6.0.0.1/", "host is"},
		{"https://%31%32%37.0.0.1/", "no URL"},
		{"https://127.0.0.1%00.example.org/", "no URL"},
		{"https://127.0.0.1%2f.example.org/", "no URL"},

		// What some parser takes for 127.0.0.1.
		{"https://127.1/", "write an address as"},
		{"https://127.0.1/", "write an address as"},
		{"https://2130706433/", "write an address as"},
		{"https://0x7f000001/", "write an address as"},
		{"https://0X7F.1/", "write an address as"},
		{"https://0x7f.0.0.0x1/", "write an address as"},
		{"https://0177.0.0.1/", "write an address as"},
		{"https://017700000001/", "write an address as"},
		{"https://127.000.000.001/", "write an address as"},
		{"https://127.0.0.01/", "write an address as"},
		{"https://127.0.0.1./", "letters, digits"},
		{"https://127.0.0.1../", "letters, digits"},
		{"https://0/", "write an address as"},
		{"https://0x/", "write an address as"},
		{"https://4294967297/", "write an address as"},
		{"https://127.0.0.1.0x0/", "write an address as"},
		{"https://1.2.3.4.5/", "write an address as"},
		{"https://[127.0.0.1]/", "no URL"},
		{"https://[::ffff:7f00:1]/", "not on the public internet"},
		{"https://[0:0:0:0:0:ffff:127.0.0.1]/", "not on the public internet"},
		{"https://[0000:0000:0000:0000:0000:0000:0000:0001]/", "not on the public internet"},
		{"https://[::1%25lo]/", "write an address as"},
		{"https://[fe80::1%25eth0]/", "write an address as"},
		{"https://[2606:4700:4700::1111%25eth0]/", "write an address as"},
		{"https://[::1%lo]/", "no URL"},
		{"https://[v1.a]/", "no URL"},
		{"https://[]/", "no URL"},
		{"https://[::1/", "no URL"},
		{"https://::1/", "no URL"},

		{"https://localhost/", "not a name on the public internet"},
		{"https://LOCALHOST/", "not a name"},
		{"https://a.localhost/", "not a name"},
		{"https://a.Local/", "not a name"},
		{"https://metadata.google.internal/computeMetadata/v1/", "not a name"},
		{"https://metadata/", "not a name"},
		{"https://1.0.0.127.in-addr.arpa/", "not a name"},
		{"https://localhost./", "letters, digits"},
		{"https://hooks.example.org./", "letters, digits"},
		{"https://.example.org/", "letters, digits"},
		{"https://a..example.org/", "letters, digits"},
		{"https://-a.example.org/", "letters, digits"},
		{"https://a-.example.org/", "letters, digits"},
		{"https://a*.example.org/", "letters, digits"},
		{"https://a" + label + ".example.org/", "letters, digits"},
		{"https://" + strings.Repeat("a.", 126) + "or/", "letters, digits"},

		// What the operator allows, and only that.
		{"https://printer/", ""},
		{"http://PRINTER:443/", ""},
		{"https://printer:8080/", "not a name"},
		{"https://printer.example.org:8080/", "port is 8080"},
		{"https://a.printer/", ""}, // as any name; its address decides
		{"http://hooks.internal:8080/", ""},
		{"http://hooks.internal/", "not a name"},
		{"http://hooks.internal:443/", "not a name"},
		{"https://big.internal/", ""},
		{"https://10.1.2.3/", ""},
		{"https://10.1.2.4/", "not on the public internet"},
		{"https://10.1.2.3:8080/", "not on the public internet"},
		{"https://[::ffff:10.1.2.3]/", "not on the public internet"},
		{"https://10.1.515/", "write an address as"},
		{"https://[fd00::1]:9000/", ""},
		{"https://[fd00:0::0:1]:9000/", ""},
		{"https://[fd00::1]/", "not on the public internet"},
		{"https://user@printer/", "an @ before"},
	} {
		err := c.Check(k.url)
		switch {
		case k.want == "" && err != nil:
			t.Errorf("%q: %v", k.url, err)
		case k.want != "" && (err == nil || !strings.Contains(err.Error(), k.want)):
			t.Errorf("%q gives %v, not %q", k.url, err, k.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, config := range []Config{
		{Ports: []int{0}}, {Ports: []int{80, 65536}}, {Ports: []int{-1}},
		{Allow: []string{""}}, {Allow: []string{"http://a"}}, {Allow: []string{"a/b"}}, {Allow: []string{"a:0"}}, {Allow: []string{"a:65536"}},
		{Allow: []string{"a:http"}}, {Allow: []string{"a:"}}, {Allow: []string{"10.0.0.0/8"}}, {Allow: []string{"10.1"}}, {Allow: []string{"*"}},
		{Allow: []string{"*.internal"}}, {Allow: []string{"fe80::1%eth0"}}, {Allow: []string{"::ffff:10.0.0.1"}}, {Allow: []string{"a b"}}, {Allow: []string{"user@a"}},
	} {
		if _, err := New(config); err == nil || !strings.Contains(err.Error(), "write ") {
			t.Errorf("%+v gives %v", config, err)
		}
	}
}

// lenient reads an address as the C library does: one to four numbers, decimal, octal or hexadecimal.
func lenient(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, p := range parts {
		if strings.ContainsAny(p, "_bBoO") && !strings.HasPrefix(strings.ToLower(p), "0x") {
			return netip.Addr{}, false
		}
		n, err := strconv.ParseUint(p, 0, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if n >= 1<<bits {
			return netip.Addr{}, false
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

// What is taken has a port of the list and no address inside, in any way of writing one.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		"https://hooks.example.org/datestone?a=b", "http://0x7f.1:80/", "https://[::ffff:127.0.0.1]/", "https://a@b/", "https://8.8.8.8:443", "https://017700000001/",
		"https://[2606:4700:4700::1111]/", `https://a\b`, "https://%6c/", "https://printer/",
	} {
		f.Add(seed)
	}
	c, err := New(Config{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c.Check(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || !slices.Contains([]string{"", "80", "443"}, u.Port()) {
			t.Fatalf("%q is taken: %v, %+v", text, err, u)
		}
		host := u.Hostname()
		a, ok := lenient(host)
		if b, err := netip.ParseAddr(host); err == nil {
			a, ok = b, true
		}
		switch {
		case ok && c.guard.SafeAddr(a) != nil:
			t.Errorf("%q is taken for a URL of %s", text, a)
		case !ok && !strings.Contains(host, "."):
			t.Errorf("%q is taken", text)
		}
	})
}
